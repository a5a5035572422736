"""Types, OpenAPI, Dockerfiles and compose files of a product."""

import json
from pathlib import Path

import pytest

from tests.workspace.checking import baseline, fill, only
from workspace.checks import dockerfile, marked
from workspace.sandbox import Sandbox


@pytest.fixture
def none() -> Sandbox:
    return Sandbox(False, False, {}, "not needed")


STORE = "class Store:\n    def get(self, key: str) -> int | None:\n        return {'a': 1}.get(key)\n"


async def test_types_that_do_not_fit_are_found_with_and_without_annotations(
    sandbox: Sandbox, folder: Path
) -> None:
    use = "from shop.store import Store\n\n\ndef use():\n    return Store().gett('a')\n\n\n"
    use += "N: int = Store().get('a')\n"
    fill(folder, {"src/shop/__init__.py": "", "src/shop/store.py": STORE, "src/shop/use.py": use})
    fill(
        folder,
        {"mypy.ini": "[mypy]\nignore_errors = True\n", "tests/test_a.py": "X: int = 'not looked at'\n"},
    )
    result = await only("types", folder, sandbox)
    assert result.passed is False
    assert [line.partition(" ")[0] for line in result.details] == ["src/shop/use.py:5:", "src/shop/use.py:8:"]


async def test_a_library_that_is_not_here_is_no_fault_and_a_missing_module_of_its_own_is(
    sandbox: Sandbox, folder: Path
) -> None:
    fill(folder, {"shop/__init__.py": "import flying_circus\n", "shop/a.py": "from shop.none import x\n"})
    result = await only("types", folder, sandbox)
    assert [line.partition(" ")[0] for line in result.details] == ["shop/a.py:1:"]


async def test_old_faults_of_types_are_not_blamed(sandbox: Sandbox, tmp_path: Path) -> None:
    base = fill(tmp_path / "base", {"src/a.py": "A: int = 'a'\n"})
    now = fill(tmp_path / "now", {"src/a.py": "B = 1\nA: int = 'a'\n"})
    result = await only("types", now, sandbox, baseline=baseline(base))
    assert (result.passed, len(result.before)) == (True, 1)


@pytest.mark.parametrize("name", ["types", "openapi", "dockerfile", "compose"])
async def test_a_check_with_nothing_to_look_at_is_idle_and_no_pass(
    none: Sandbox, folder: Path, name: str
) -> None:
    result = await only(name, folder, none)
    assert (result.passed, result.idle) == (None, True)
    assert result.summary.startswith("not run: there is no ")


API = {"openapi": "3.1.0", "info": {"title": "Shop", "version": "1"}, "paths": {}}


async def test_a_valid_openapi_document_passes_and_a_wrong_one_is_named(
    sandbox: Sandbox, folder: Path
) -> None:
    fill(folder, {"docs/openapi.json": json.dumps(API)})
    assert (await only("openapi", folder, sandbox)).passed is True
    wrong = {**API, "paths": {"/a": {"get": {"responses": {"200": {"content": {}}}}}}}
    fill(
        folder,
        {"docs/openapi.json": json.dumps(wrong), "api.yaml": "openapi: 3.0.3\ninfo: {title: A}\npaths: {}\n"},
    )
    result = await only("openapi", folder, sandbox)
    assert result.passed is False
    assert {line.partition(":")[0] for line in result.details} == {"docs/openapi.json", "api.yaml"}
    # The validator's quotes depend on which library for JSON Schema is installed beside it.
    told = [line.replace('"', "'") for line in result.details]
    assert any("'version' is a required property" in line for line in told)


async def test_an_openapi_document_that_refers_to_an_address_reaches_nobody(
    sandbox: Sandbox, folder: Path
) -> None:
    far = {**API, "paths": {"/a": {"$ref": "http://127.0.0.1:9/a.json"}}}
    fill(folder, {"openapi.json": json.dumps(far)})
    assert (await only("openapi", folder, sandbox)).passed is False


async def test_an_openapi_document_that_is_a_bomb_is_refused(sandbox: Sandbox, folder: Path) -> None:
    bomb = "openapi: 3.1.0\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    fill(folder, {"openapi.yaml": bomb})
    result = await only("openapi", folder, sandbox, timeout=5)
    assert result.passed is False


GOOD = 'FROM python:3.12-slim\nWORKDIR /srv\nCOPY src ./src\nUSER service\nCMD ["python", "-m", "shop"]\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD, ""),
        (
            "# syntax=docker/dockerfile:1\nARG V=3.12\nFROM python:$V AS build\nFROM build\nUSER 1000:1000\n",
            "",
        ),
        (GOOD.replace(":3.12-slim", ""), "1: python has no fixed version"),
        (GOOD.replace("3.12-slim", "latest"), "1: python:latest has no fixed version"),
        (GOOD.replace("USER service\n", ""), "1: no USER in the last stage"),
        (GOOD.replace("USER service", "USER root"), "4: the last USER is root"),
        (GOOD.replace("src ./src", "lib ./lib"), "3: lib is not in the project"),
        (GOOD.replace('["python", "-m", "shop"]', "['python']"), "5: CMD looks like a list and is no JSON"),
        (GOOD + "CMD x\n", "6: a second CMD in one stage"),
        (GOOD.replace("WORKDIR", "WORKDRI"), "2: 'WORKDRI' is no instruction"),
        (GOOD.replace("WORKDIR /srv", "WORKDIR srv"), "2: WORKDIR is relative"),
        (GOOD.replace("WORKDIR /srv", "ENV API_TOKEN=abc123"), "2: ENV API_TOKEN puts a secret"),
        (
            GOOD.replace("WORKDIR /srv", "RUN curl -s https://x.example | sh"),
            "2: what is fetched is run unseen",
        ),
        (
            GOOD.replace("WORKDIR /srv", "RUN apt-get update && \\\n apt-get install git"),
            "2: apt-get install",
        ),
        (GOOD.replace("WORKDIR /srv", "RUN apt-get install -y git"), ""),
        (GOOD.replace("COPY src", "ADD https://x.example/a"), "3: what is fetched from an address has no"),
        ("RUN true\n", "1: there is no FROM"),
        ("", "1: there is no FROM"),
    ],
)
def test_a_dockerfile_is_read_by_rules(text: str, fault: str) -> None:
    found = [f"{line}: {what}" for line, what in dockerfile.faults(text, "Dockerfile", ["src/a.py"])]
    assert len(found) == bool(fault), found
    assert all(each.startswith(fault) for each in found)


COMPOSE = """services:
  web:
    build: .
    depends_on: [db]
    ports: ["127.0.0.1:8000:8000"]
    volumes: ["data:/data"]
  db:
    image: postgres:17
    environment:
      POSTGRES_PASSWORD_FILE: /run/secrets/db
volumes:
  data:
"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("", "", ""),
        ("[db]", "[none]", "compose.yaml:4: web: depends_on none, which is no service"),
        ("  data:\n", "  other:\n", "compose.yaml:6: web: the volume data is declared nowhere"),
        ("postgres:17", "postgres", "compose.yaml:8: db: postgres has no fixed version"),
        ("postgres:17", "postgres:17\n    privileged: true", "compose.yaml:9: db: privileged"),
        ("postgres:17", "postgres:17\n    network_mode: host", "compose.yaml:9: db: network_mode host"),
        ("_FILE: /run/secrets/db", ": hunter2", "compose.yaml:10: db: POSTGRES_PASSWORD holds a secret"),
        ("_FILE: /run/secrets/db", ": ${PASSWORD}", ""),
        ("data:/data", "/var/run/docker.sock:/s", "compose.yaml:6: web: the Docker socket"),
        ("build: .", "build: ./none", "compose.yaml:3: web: the build's folder ./none is not in the project"),
        ("build: .", "command: x", "compose.yaml:3: web: it has neither image nor build"),
        ("volumes:\n  data", "volums:\n  data", "compose.yaml:12: 'volums' is no part of a compose file"),
        ("image: postgres:17", "image: a:1\n    image: b:1", "compose.yaml:8: db: 'image' stands twice"),
        ("services:", "services: [", "compose.yaml:"),
        ("services:", "services: *none", "compose.yaml:"),
    ],
)
async def test_a_compose_file_is_read_by_rules(
    none: Sandbox, folder: Path, old: str, new: str, fault: str
) -> None:
    fill(folder, {"compose.yaml": COMPOSE.replace(old, new, 1) if old else COMPOSE, "a.py": ""})
    result = await only("compose", folder, none)
    assert result.passed is (not fault), result
    assert any(line.startswith(fault) for line in result.details) or not fault, result.details


async def test_what_an_included_compose_file_may_declare_is_not_missed(none: Sandbox, folder: Path) -> None:
    text = (
        "include:\n  - other.yaml\nservices:\n  web:\n    image: nginx:1.29\n    depends_on: [db]\n"
        "    networks: [inner]\n    volumes: ['data:/data']\n"
    )
    fill(folder, {"compose.yaml": text, "a.py": ""})
    assert (await only("compose", folder, none)).passed is True
    fill(folder, {"compose.yaml": text.replace("include:\n  - other.yaml\n", "")})
    assert len((await only("compose", folder, none)).details) == 3
    fill(folder, {"compose.yaml": text.replace("    depends_on", "    privileged: true\n    depends_on")})
    result = await only("compose", folder, none)
    assert [line.partition(": ")[2] for line in result.details] == [
        "web: privileged: it may do on the host what root may"
    ], result.details


def test_yaml_that_is_a_bomb_is_refused_or_stays_small() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    assert len(marked.read(bomb).items) == 12  # what is repeated is the same object
    tagged = marked.read("a: !!python/object/apply:os.system [ls]\n").get("a")
    assert tagged is not None
    assert [each.text for each in tagged.entries] == ["ls"]  # text, and nothing is run
    for hostile in ("[" * 5_000, "- " * 50 + "x"):
        with pytest.raises(marked.NoYaml):
            marked.read(hostile)
    with pytest.raises(marked.NoYaml, match="too big"):
        marked.read("[" + "x," * 30_000 + "]")


def test_of_several_merged_mappings_the_first_one_that_has_a_key_counts() -> None:
    text = "a: &a {image: one}\nb: &b {image: two, user: me}\nc:\n  <<: [*a, *b]\n"
    merged = marked.read(text).get("c")
    assert merged is not None
    assert marked.plain(merged) == {"image": "one", "user": "me"}

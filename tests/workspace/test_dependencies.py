"""What a product needs of others: declared, fetched in the real sandbox, installed, imported."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.settings import Settings
from tests.doubles.wheels import digest, index, wheel
from workspace import allowlist
from workspace.dependencies import declared, fetching
from workspace.dependencies.environments import Environment, Environments
from workspace.dependencies.fetching import Fetched
from workspace.dependencies.settings import Dependencies
from workspace.dependencies.sources import IndexInvalid, Sources, sources
from workspace.egress import Contact, Egress
from workspace.files import Files
from workspace.sandbox import Sandbox

LOCAL = (ipaddress.ip_network("127.0.0.0/8"),)


@dataclass
class Place:
    """A folder with a wheelhouse, and what it takes to install from it."""

    folder: Path
    sandbox: Sandbox
    contacts: list[Contact] = field(default_factory=list[Contact])

    @property
    def house(self) -> Path:
        return self.folder / "wheelhouse"

    def environments(self) -> Environments:
        return Environments(self.folder / "environments")

    async def fetch(self, text: str, where: Sources | None = None) -> Fetched:
        wanted = declared.of({"requirements.txt": text}).wanted
        async with self.environments().working() as work:
            where = where or Sources(self.house)
            return await fetching.fetch(wanted, where, self.sandbox, work, self.contacts.append)

    async def install(self, text: str, where: Sources | None = None) -> Environment:
        wanted = declared.of({"requirements.txt": text}).wanted
        environments = self.environments()
        async with environments.working() as work:
            where = where or Sources(self.house)
            found = await fetching.fetch(wanted, where, self.sandbox, work, self.contacts.append)
            assert found.failures == ()
            return await environments.install(found.packages, self.sandbox, work)

    async def python(self, environment: Environment, program: str) -> str:
        tree = self.folder / "tree"
        tree.mkdir(exist_ok=True)
        inside = self.sandbox.with_libraries(environment.libraries)
        return (await inside.run(["python", "-c", program], tree)).output.strip()


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    opened = await Sandbox.open(Settings(home=tmp_path / "home"))
    if not opened.available:
        pytest.skip(f"no sandbox here: {opened.why_not}")
    (tmp_path / "wheelhouse").mkdir()
    return Place(tmp_path, opened)


def faults(found: Fetched) -> list[tuple[str, str]]:
    return [(failure.fault, failure.name) for failure in found.failures]


async def test_what_is_declared_is_installed_with_what_it_needs_and_can_be_imported(place: Place) -> None:
    wheel(place.house, "alpha", "1.0", needs=["beta>=2"])
    wheel(place.house, "beta", "2.5")
    wheel(place.house, "beta", "1.0")
    made = await place.install("alpha>=1  # for its numbers\n")
    assert await place.python(made, "import alpha, beta; print(alpha.VERSION, beta.VERSION)") == "1.0 2.5"


async def test_a_package_that_is_called_bin_is_there_and_no_program_of_another_is(place: Place) -> None:
    script = {"beta-1.0.data/scripts/ruff": "#!python\n"}
    wheel(place.house, "alpha", files={"bin/__init__.py": "VERSION = 1\n", "bin/deep/more.py": "TWO = 2\n"})
    wheel(place.house, "beta", files={"beta.py": "", **script})
    made = await place.install("alpha\nbeta\n")
    assert await place.python(made, "import bin.deep.more as m, bin; print(bin.VERSION, m.TWO)") == "1 2"
    assert sorted(each.name for each in (made.libraries / "bin").iterdir()) == ["__init__.py", "deep"]


async def test_the_environment_can_be_read_only(place: Place) -> None:
    wheel(place.house, "alpha")
    made = await place.install("alpha\n")
    said = await place.python(made, "open('/libraries/alpha.py', 'w')")
    assert "Read-only file system" in said


async def test_the_same_wheels_are_one_environment_in_any_order(place: Place) -> None:
    wheel(place.house, "alpha")
    wheel(place.house, "beta")
    made = await place.install("alpha\nbeta\n")
    again = await place.fetch("beta==1.0\nalpha\n")
    assert place.environments().find(again.packages, place.sandbox) == made
    other = await place.fetch("alpha\n")
    assert place.environments().find(other.packages, place.sandbox) is None


async def test_what_a_killed_process_left_is_removed(place: Place) -> None:
    left = place.folder / "environments" / ".work-dead"
    (left / "wheels").mkdir(parents=True)
    wheel(place.house, "alpha")
    await place.install("alpha\n")
    assert not left.exists()
    assert [each.name for each in (place.folder / "environments").iterdir() if each.name[:1] == "."] == [
        ".lock"
    ]


async def test_an_index_is_reached_through_the_proxy_and_every_host_is_told(place: Place) -> None:
    files = place.folder / "files"
    wheel(files, "alpha", needs=["beta"])
    wheel(files, "beta")
    with index(files) as serving:
        entry = allowlist.entry(f"127.0.0.1:{serving.port}")
        where = Sources(None, serving.url, Egress((entry,), LOCAL))
        made = await place.install("alpha\n", where)
        assert await place.python(made, "import alpha; print('there')") == "there"
        assert "/simple/alpha/" in serving.asked
    assert {(contact.host, contact.port, contact.why) for contact in place.contacts} == {
        ("127.0.0.1", serving.port, "")
    }


async def test_an_index_beside_the_allow_list_is_not_reached(place: Place) -> None:
    files = place.folder / "files"
    wheel(files, "alpha")
    with index(files) as serving:
        where = Sources(None, serving.url, Egress((allowlist.entry("packages.test"),), LOCAL))
        found = await place.fetch("alpha\n", where)
        assert faults(found) == [("unavailable", "alpha")]
        assert serving.asked == []
    assert {contact.why for contact in place.contacts} == {"not on the allow-list"}


async def test_what_no_source_has_is_told_with_what_there_is(place: Place) -> None:
    wheel(place.house, "beta", "1.0")
    assert faults(await place.fetch("alpha\n")) == [("unavailable", "alpha")]
    found = await place.fetch("beta>=2\n")
    assert "there is 1.0" in found.failures[0].why
    wheel(place.house, "gamma", needs=["missing>3"])
    found = await place.fetch("gamma\n")
    assert (faults(found), "needed by gamma" in found.failures[0].why) == ([("unavailable", "missing")], True)


async def test_a_source_distribution_is_not_built(place: Place) -> None:
    (place.house / "alpha-1.0.tar.gz").write_bytes(b"never opened")
    assert faults(await place.fetch("alpha\n")) == [("source-only", "alpha")]
    files = place.folder / "files"
    files.mkdir()
    (files / "alpha-1.0.tar.gz").write_bytes(b"never opened")
    with index(files) as serving:
        entry = allowlist.entry(f"127.0.0.1:{serving.port}")
        found = await place.fetch("alpha\n", Sources(None, serving.url, Egress((entry,), LOCAL)))
        assert faults(found) == [("source-only", "alpha")]
        assert not any(path.startswith("/files/") for path in serving.asked)


async def test_bytes_that_are_not_those_named_are_refused(place: Place) -> None:
    made = wheel(place.house, "alpha")
    wrong = "0" * 64
    assert faults(await place.fetch(f"alpha --hash=sha256:{wrong}\n")) == [("hash", "alpha")]
    assert faults(await place.fetch(f"alpha \\\n  --hash=sha256:{digest(made)}\n")) == []
    sums = place.house / "SHA256SUMS"
    sums.write_text(f"{wrong}  {made.name}\n")
    assert faults(await place.fetch("alpha\n")) == [("hash", "alpha")]
    sums.write_text(f"{wrong}  other.whl\n")
    assert faults(await place.fetch("alpha\n")) == [("hash", "alpha")]
    sums.write_text(f"{digest(made)}  {made.name}\n")
    assert faults(await place.fetch("alpha\n")) == []


async def test_bytes_that_are_not_those_of_the_index_are_refused(place: Place) -> None:
    files = place.folder / "files"
    wheel(files, "alpha")
    with index(files, wrong=True) as serving:
        entry = allowlist.entry(f"127.0.0.1:{serving.port}")
        found = await place.fetch("alpha\n", Sources(None, serving.url, Egress((entry,), LOCAL)))
    assert faults(found) == [("hash", "alpha")]


async def test_versions_that_do_not_go_together_are_named(place: Place) -> None:
    wheel(place.house, "alpha", needs=["beta>=2"])
    wheel(place.house, "gamma", needs=["beta<2"])
    wheel(place.house, "beta", "2.0")
    found = await place.fetch("alpha\ngamma\n")
    assert found.failures[0].fault == "conflict"
    assert "alpha 1.0 depends on beta>=2" in found.failures[0].why


async def test_the_sandboxs_own_tools_are_not_installed_beside_it(place: Place) -> None:
    assert declared.of({"requirements-dev.txt": "pytest>=7\nruff\n"}).wanted == ()
    wheel(place.house, "plugin", needs=["pytest"])
    wheel(place.house, "pytest", "99.0", {"pytest/__init__.py": "raise SystemExit(0)"})
    found = await place.fetch("plugin\n")
    assert [package.name for package in found.packages] == ["plugin"]


def _declared(folder: Path, **texts: str) -> declared.Declared:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_toml", ".toml").replace("_txt", ".txt")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return declared.read(Files(folder))


def test_requirements_are_read_from_where_products_write_them(tmp_path: Path) -> None:
    found = _declared(
        tmp_path,
        pyproject_toml="[project]\ndependencies = ['Alpha_One>=1', 'beta; python_version < \"3\"']\n",
        requirements_txt="-r requirements/base.txt\ngamma[fast]==2 \\\n; python_version > '3'\n-e .\n# d\n",
        requirements__base_txt="epsilon~=1.0\n",
    )
    assert [(each.name, each.requirement) for each in found.wanted] == [
        ("alpha-one", "Alpha_One>=1"),
        ("epsilon", "epsilon~=1.0"),
        ("gamma", "gamma[fast]==2"),
    ]
    assert found.problems == ()


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://evil.test/simple",
        "--extra-index-url=https://evil.test/simple",
        "--find-links /",
        "-f .",
        "--no-binary :all:",
        "--trusted-host evil.test",
        "-c constraints.txt",
        "-e ./inner",
        "./inner",
        "alpha @ https://evil.test/alpha-1.0-py3-none-any.whl",
        "alpha @ file:///etc/passwd",
        "-r ../../../etc/passwd",
        "-r /etc/passwd",
        "alpha --config-settings x=y",
        "alpha --hash=md5:0",
    ],
)
def test_what_a_requirements_file_may_not_say_is_named_and_not_done(tmp_path: Path, line: str) -> None:
    found = _declared(tmp_path, requirements_txt=f"{line}\n")
    assert (found.wanted, len(found.problems)) == ((), 1)


def test_a_file_that_includes_itself_has_an_end(tmp_path: Path) -> None:
    assert _declared(tmp_path, requirements_txt="-r requirements.txt\n").problems


def test_files_that_include_each_other_many_times_are_read_once(tmp_path: Path) -> None:
    includes = "-r requirements-a.txt\n-r requirements-b.txt\n" * 50

    class Counted(Files):
        reads = 0

        def read(self, path: str, *, limit: int = 1_000_000) -> str:
            Counted.reads += 1
            return super().read(path, limit=limit)

    for name in ("a", "b"):
        (tmp_path / f"requirements-{name}.txt").write_text(f"{includes}{name}{name}\n")
    (tmp_path / "requirements.txt").write_text(includes)
    found = declared.read(Counted(tmp_path))
    assert {each.name for each in found.wanted} == {"aa", "bb"}
    assert Counted.reads < 20


def test_dependencies_that_are_declared_elsewhere_are_not_passed_over(tmp_path: Path) -> None:
    text = '[tool.poetry.dependencies]\npython = "^3.11"\nalpha = "^1"\n'
    assert [what for what, _ in _declared(tmp_path, pyproject_toml=text).problems] == ["alpha"]
    assert _declared(tmp_path, pyproject_toml="[project").problems
    assert _declared(tmp_path, pyproject_toml="[project]\ndependencies = 3\n").problems


@pytest.mark.parametrize(
    "address",
    [
        "http://packages.test/simple",
        "ftp://x/",
        "https://me:secret@packages.test/simple",
        "https://x/?a=b",
        "x",
    ],
)
def test_an_index_that_cannot_be_trusted_on_its_way_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(IndexInvalid):
        sources(Settings(home=tmp_path, index_url=address), Dependencies())

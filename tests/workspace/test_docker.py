"""The docker backend against a program of that name that notes what it is told.

No Docker runs here: that containers hold is proved by the backend's self-test on the machine that has them.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.settings import Settings
from workspace.allowance import Allowance
from workspace.docker import Docker
from workspace.errors import SandboxUnavailable
from workspace.sandbox import Sandbox
from workspace.started import Job

FAKE = """#!{python}
import json, os, sys
words = sys.argv[1:]
with open("{log}", "a") as log:
    print(json.dumps([words, sorted(os.environ)]), file=log)
if words[0] == "run":
    os.execvp("/bin/sh", ["/bin/sh", *words[words.index("some/image:1") + 1 :]])
if words[0] == "ps":
    print("factory-dead {dead}\\nfactory-alive {alive}\\nother {dead}")
if words[0] == "inspect":
    print("true" if os.path.exists("{log}.oom") else "false")
sys.exit(1 if words[0] == "image" and words[-1] != "some/image:1" else 0)
"""

Said = Callable[[], list[list[str]]]


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Every docker command so far."""
    log = tmp_path / "log"
    gone = subprocess.Popen(["true"])
    gone.wait()
    fake = tmp_path / "bin" / "docker"
    fake.parent.mkdir()
    fake.write_text(FAKE.format(python=sys.executable, log=log, dead=gone.pid, alive=os.getpid()))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("FACTORY_SECRET", "hidden")

    def read() -> list[list[str]]:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert not any("FACTORY_SECRET" in environment for _, environment in lines)
        return [words for words, _ in lines]

    return read


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


async def prepared(home: Path, runtime: str | None = None) -> Docker:
    docker = Docker("some/image:1", runtime, home)
    await docker.prepare()
    return docker


def pairs(words: list[str]) -> set[tuple[str, str]]:
    return set(itertools.pairwise(words))


async def test_a_container_is_told_every_limit(said: Said, tree: Path, tmp_path: Path) -> None:
    docker = await prepared(tmp_path, "runsc")
    job = Job(["echo", "a b"], tree, Allowance(), timeout=30, environment={"A": "b"})
    words = docker.arguments(job, "factory-1")
    assert {
        *(("--network", "none"), ("--cap-drop", "ALL"), ("--security-opt", "no-new-privileges")),
        *(("--runtime", "runsc"), ("--pids-limit", "256"), ("--memory", "2000000000")),
        *(("--memory-swap", "2000000000"), ("--ulimit", "nofile=1024"), ("--pull", "never")),
        *(("--ipc", "none"), ("--env", "A=b"), ("--entrypoint", "/bin/sh"), ("--workdir", "/work")),
        ("--mount", f"type=bind,source={tree},target=/work"),
    } <= pairs(words)
    assert "--read-only" in words
    assert words[words.index("--user") + 1].split(":")[0] not in ("0", "")
    assert words[-2:] == ["echo", "a b"]
    assert not any("docker.sock" in word or word == "--privileged" for word in words)


async def test_a_reader_and_a_proxy_are_mounted_so(said: Said, tree: Path, tmp_path: Path) -> None:
    docker = await prepared(tmp_path)
    job = Job(["true"], tree, Allowance(), 30, writable=False, egress=tmp_path / "s")
    words = docker.arguments(job, "factory-1")
    assert {
        ("--mount", f"type=bind,source={tree},target=/work,readonly"),
        ("--mount", f"type=bind,source={tmp_path / 's'},target=/run/egress.sock,readonly"),
        ("--network", "none"),
    } <= pairs(words)
    assert "--runtime" not in words
    with pytest.raises(SandboxUnavailable, match="comma"):
        await docker.launch(replace(job, tree=tmp_path / "a,source=b"))


async def test_a_command_runs_and_its_container_is_removed(said: Said, tree: Path, tmp_path: Path) -> None:
    sandbox = await Sandbox.open(Settings(home=tmp_path / "home"))
    docker = await prepared(tmp_path)
    (tmp_path / "log.oom").touch()
    ran = await replace(sandbox, available=True, _backend=docker).run("echo out; exit 3", tree)
    assert (ran.exit_code, ran.output, ran.ended_by) == (3, "out\n", "memory")
    name = next(words for words in said() if words[0] == "run")[2]
    assert ["rm", "--force", "--volumes", name] in said()


async def test_containers_of_dead_factories_are_removed(said: Said, tmp_path: Path) -> None:
    await prepared(tmp_path)
    assert [words[-1] for words in said() if words[0] == "rm"] == ["factory-dead"]


async def test_a_docker_that_confines_nothing_is_found_out(said: Said, tree: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", sandbox_backend="docker", sandbox_image="some/image:1")
    sandbox = await Sandbox.open(settings)
    assert not sandbox.available
    assert sandbox.why_not
    with pytest.raises(SandboxUnavailable):
        await sandbox.run("touch x", tree)
    assert list(tree.iterdir()) == []


@pytest.mark.parametrize(("image", "why"), [(None, "no image"), ("other", "does not have the image")])
async def test_without_its_image_nothing_is_run(
    said: Said, tmp_path: Path, image: str | None, why: str
) -> None:
    settings = Settings(home=tmp_path / "home", sandbox_backend="docker", sandbox_image=image)
    sandbox = await Sandbox.open(settings)
    assert not sandbox.available
    assert why in sandbox.why_not


async def test_without_docker_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = Settings(home=tmp_path / "home", sandbox_backend="docker", sandbox_image="some/image:1")
    sandbox = await Sandbox.open(settings)
    assert (sandbox.available, sandbox.why_not) == (False, "docker is not installed.")

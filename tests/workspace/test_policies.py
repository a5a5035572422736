"""What commands may do, by name: the shipped policies, the operator's, and what is wrong with a bad file."""

from pathlib import Path

import pytest

from core.errors import BadInput
from core.settings import Settings
from workspace import policies
from workspace.errors import WorkspaceError
from workspace.policies import PLAIN, Policies
from workspace.sandbox import Sandbox


def load(tmp_path: Path, text: str, environment: str = "local") -> Policies:
    file = tmp_path / "sandbox.toml"
    file.write_text(text)
    return policies.load(Settings(home=tmp_path, sandbox_file=file, environment=environment))


def test_the_shipped_policies_open_no_network(tmp_path: Path) -> None:
    shipped = policies.load(Settings(home=tmp_path))
    assert set(shipped.by_name) == {*PLAIN, "net"}
    assert not shipped.by_name["none"].run
    assert not shipped.by_name["read"].writable
    assert all(shipped.by_name[name].egress is None for name in PLAIN)
    net = shipped.by_name["net"].egress
    assert net is not None
    assert net.hosts == net.networks == ()
    assert shipped.choose("everything") is None


def test_the_operators_file_changes_policies_teams_and_environments(tmp_path: Path) -> None:
    text = """
        [policy.net]
        hosts = ["index.example", "*.files.example:8443"]
        networks = ["10.0.0.0/8"]
        most_bytes = 1000
        [policy.net.limits]
        memory = 100_000_000
        [teams]
        qa_engineering = "build"
        [environment.production.policies]
        net = "test"
        [environment.production.teams]
        ml_engineering = "none"
    """
    here = load(tmp_path, text)
    chosen = {team: here.choose("net", team) for team in ("", "qa_engineering", "ml_engineering")}
    assert [policy.name for policy in chosen.values() if policy] == ["net", "build", "net"]
    net = here.by_name["net"]
    assert net.egress is not None
    assert (len(net.egress.hosts), net.egress.bytes, net.allowance.memory) == (2, 1000, 100_000_000)
    there = load(tmp_path, text, "production")
    chosen = {team: there.choose("net", team) for team in ("", "qa_engineering", "ml_engineering")}
    assert [policy.name for policy in chosen.values() if policy] == ["test", "build", "none"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("policy = 3", "policy"),
        ("[policy.net", "TOML"),
        ("[policy.Net]", "policy"),
        ("[policy.net]\nhost = []", "policy.net.host"),
        ('[policy.net]\nhosts = ["https://a.example"]', "policy.net.hosts.0"),
        ('[policy.net]\nhosts = ["*"]', "policy.net.hosts.0"),
        ('[policy.net]\nhosts = ["a.example"]\nnetworks = ["10.0.0.1/8"]', "policy.net.networks.0"),
        ('[policy.net]\nnetworks = ["10.0.0.0/8"]', "policy.net.networks"),
        ('[policy.test]\nhosts = ["a.example"]', "policy.test.hosts"),
        ("[policy.test]\nrun = 1", "policy.test.run"),
        ("[policy.test.limits]\nmemory = -1", "policy.test.limits.memory"),
        ("[policy.test.limits]\nswap = 1", "policy.test.limits.swap"),
        ('[teams]\nqa_engineering = "open"', "teams.qa_engineering"),
        ('[environment.x.policies]\nopen = "test"', "environment.x.policies.open"),
        ('[environment.x.teams]\nqa_engineering = "open"', "environment.x.teams.qa_engineering"),
        ("[environment.x]\nteam = {}", "environment.x.team"),
    ],
)
async def test_a_bad_file_stops_the_program_and_says_where(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(BadInput, match=where):
        load(tmp_path, text)
    with pytest.raises(BadInput, match=where):
        await Sandbox.open(Settings(home=tmp_path, sandbox_file=tmp_path / "sandbox.toml"))


@pytest.mark.parametrize("content", [None, b"\xff", b"#" * 300_000])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "sandbox.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInput, match=r"sandbox\.toml"):
        policies.load(Settings(home=tmp_path, sandbox_file=file))


async def test_a_policy_decides_what_runs_and_for_how_long(tmp_path: Path) -> None:
    text = "[policy.test.limits]\nseconds = 1\n[teams]\nstill = 'none'\nreader = 'read'\n"
    (tmp_path / "sandbox.toml").write_text(text)
    sandbox = await Sandbox.open(Settings(home=tmp_path, sandbox_file=tmp_path / "sandbox.toml"))
    if not sandbox.available:
        pytest.skip(f"no sandbox here: {sandbox.why_not}")
    (tmp_path / "tree").mkdir()
    with pytest.raises(WorkspaceError, match="none"):
        await sandbox.run("true", tmp_path / "tree", team="still")
    assert (await sandbox.run("touch x", tmp_path / "tree", team="reader")).exit_code != 0
    assert (await sandbox.run("sleep 60", tmp_path / "tree")).ended_by == "timeout"

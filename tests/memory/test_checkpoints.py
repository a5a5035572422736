"""Signed checkpoints: what a rewritten database cannot get past, tried through the command line."""

import asyncio
import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import call
from core.audit import Anchor
from core.database import Database
from core.events import GENESIS, EventLog, link
from core.settings import Settings
from memory.audit.checkpoints import merkle_root
from tests.intruder import Admin

RUNS = ("run-a", "run-b", "run-c")


@pytest.fixture(autouse=True)
def _here(settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACTORY_DATABASE_URL", database_url)
    monkeypatch.setenv("FACTORY_HOME", str(settings.home))
    monkeypatch.chdir(tmp_path)
    write(settings)


def write(settings: Settings, more: int = 0) -> None:
    async def told() -> None:
        async with Database.open(settings) as database:
            log = EventLog(database)
            for run in RUNS:
                for n in range(1, 5 + more):
                    texts = {"brief": f"brief {n}"} if n == 2 else None
                    await log.append(run, "step.done", {"n": n}, team="qa", key=f"{run}/{n}", texts=texts)
            if more:
                await log.append("run-new", "step.done", {"n": 1})

    asyncio.run(told())


def rewrite(intruder: Admin, run: str) -> None:
    """As the owner: change the second event of a run, and the whole chain and its head after it."""
    rows = intruder.execute(
        "SELECT seq, record FROM events WHERE run_id = %s ORDER BY seq", (run,)
    ).fetchall()
    prev = GENESIS
    for seq, record in rows:
        assert isinstance(seq, int)
        forged = str(record).replace('"n":3', '"n":4')
        its_hash = link(prev, seq, forged)
        intruder.execute(
            "UPDATE events SET record = %s, prev_hash = %s, hash = %s WHERE run_id = %s AND seq = %s",
            (forged, prev, its_hash, run, seq),
        )
        prev = its_hash
    intruder.execute("UPDATE run_heads SET hash = %s WHERE run_id = %s", (prev, run))


def against(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, object]]:
    capsys.readouterr()
    code = call(["audit", "verify", "--against", "kept.json", "--json", *more])
    return code, json.loads(capsys.readouterr().out)


def test_a_rewritten_chain_with_a_rewritten_head_is_caught_by_the_checkpoint(
    intruder: Admin, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["audit", "checkpoint", "kept.json"]) == 0
    rewrite(intruder, "run-b")
    assert call(["audit", "verify"]) == 0, "from inside the database, nothing is to be seen"
    code, told = against(capsys)
    assert code == 4
    broken = told["broken"]
    assert isinstance(broken, dict)
    assert (broken["run_id"], broken["seq"]) == ("run-b", 4)
    assert "rewritten" in broken["why"]
    assert against(capsys, "run-a")[0] == 0


def test_a_removed_run_is_caught_by_the_checkpoint(
    intruder: Admin, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["audit", "checkpoint", "kept.json"]) == 0
    for table in ("events", "event_texts", "run_heads"):
        intruder.execute(f"DELETE FROM {table} WHERE run_id = 'run-b'")  # type: ignore[arg-type]
    assert call(["audit", "verify"]) == 0
    for more in ((), ("run-b",)):
        code, told = against(capsys, *more)
        assert code == 4
        assert "the run is gone: the checkpoint knows 4 events" in str(told["broken"])


def test_a_truncated_run_is_caught_by_the_checkpoint(
    intruder: Admin, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["audit", "checkpoint", "kept.json"]) == 0
    intruder.execute("DELETE FROM events WHERE run_id = 'run-b' AND seq > 2")
    last = intruder.execute("SELECT hash FROM events WHERE run_id = 'run-b' AND seq = 2").fetchone()
    assert last is not None
    intruder.execute("UPDATE run_heads SET seq = 2, hash = %s WHERE run_id = 'run-b'", last)
    assert call(["audit", "verify"]) == 0
    code, told = against(capsys)
    assert code == 4
    assert "the events 3 to 4 are gone" in str(told["broken"])


def test_a_log_that_only_grew_passes(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["audit", "checkpoint", "kept.json"]) == 0
    write(settings, more=3)
    code, told = against(capsys)
    assert (code, told["ok"]) == (0, True)
    assert call(["audit", "verify", "--against", "kept.json"]) == 0
    shown = capsys.readouterr().out
    assert "leads through the checkpoint" in shown
    assert "run-new" in shown


def test_a_broken_chain_is_not_signed(intruder: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    intruder.execute("UPDATE event_texts SET body = '\"other\"' WHERE run_id = 'run-c'")
    assert call(["audit", "checkpoint", "kept.json"]) == 4
    assert "Nothing was signed" in capsys.readouterr().err
    assert not Path("kept.json").exists()


def alter(text: str, before: str, after: str) -> str:
    assert before in text
    return text.replace(before, after, 1)


FORGERIES: list[tuple[Callable[[str], str], str]] = [
    (lambda text: text[: len(text) // 2], "no checkpoint"),
    (lambda text: "[" * 100_000, "no checkpoint"),
    (lambda text: "[]", "no checkpoint"),
    (lambda text: alter(text, '"version": 1', '"version": 2'), "version 2"),
    (lambda text: alter(text, '["run-b",4,', '["run-b",3,'), "altered"),
    (lambda text: alter(text, '["run-b",', '["run-z",'), "altered"),
    (lambda text: alter(text, '["run-b",', '["run-a",'), "altered"),
    (lambda text: alter(text, '["run-b",4,', '["run-b",-4,'), "altered"),
    (lambda text: alter(text, '"at": "2', '"at": "1'), "forged or altered"),
    (lambda text: alter(text, '"signature": "', '"signature": "00'), "forged or altered"),
    (lambda text: alter(text, '"signature": "', '"signature": "xy'), "altered"),
    (lambda text: alter(text, '"key": "', '"key": "00'), "signed with the key"),
    (lambda text: alter(text, '"root": "', '"root": "00'), "altered"),
    (lambda text: alter(text, '"root"', '"roof"'), "a field is missing"),
]


def test_a_forged_or_altered_checkpoint_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["audit", "checkpoint", "kept.json"]) == 0
    whole = Path("kept.json").read_text()
    for change, why in FORGERIES:
        Path("kept.json").write_text(change(whole))
        assert call(["audit", "verify", "--against", "kept.json"]) == 4, why
        said = capsys.readouterr().err
        assert why in said
        assert "Nothing was compared" in said
    assert call(["audit", "checkpoint", "kept.json"]) == 2, "and it is not silently replaced"


def test_a_checkpoint_of_another_factorys_key_is_refused_unless_that_key_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(["audit", "checkpoint", "kept.json"]) == 0
    public = settings.home / "audit" / "signing.pub"
    monkeypatch.setenv("FACTORY_HOME", str(tmp_path / "elsewhere"))
    assert call(["audit", "verify", "--against", "kept.json"]) == 2
    assert "no key here" in capsys.readouterr().err
    assert call(["audit", "verify", "--against", "kept.json", "--key", str(public)]) == 0
    assert call(["audit", "checkpoint", "other.json"]) == 0
    assert call(["audit", "verify", "--against", "kept.json"]) == 4
    assert "the trusted one is" in capsys.readouterr().err


def test_a_key_that_would_check_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["audit", "verify", "--key", "mine.pub"]) == 2
    said = capsys.readouterr().err
    assert "none was named" in said
    assert "--against FILE" in said


def test_the_key_is_its_owners_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["audit", "checkpoint", "kept.json"]) == 0
    key = settings.home / "audit" / "signing.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    assert call(["audit", "checkpoint", "kept.json"]) == 0
    assert key.read_bytes() == before
    key.chmod(0o644)
    assert call(["audit", "checkpoint", "kept.json"]) == 2
    assert "chmod 600" in capsys.readouterr().err
    key.chmod(0o600)
    key.write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
    assert call(["audit", "checkpoint", "kept.json"]) == 2
    said = capsys.readouterr().err
    assert "no key in PEM form" in said
    assert "nonsense" not in said


def test_a_key_of_ones_own_is_used_and_never_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("FACTORY_AUDIT_KEY_FILE", str(tmp_path / "own.key"))
    assert call(["audit", "checkpoint", "kept.json"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    made = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", "own.key"], check=False)
    if made.returncode:
        pytest.skip("no openssl here")
    Path("own.key").chmod(0o600)
    assert call(["audit", "checkpoint", "kept.json"]) == 0
    assert call(["audit", "verify", "--against", "kept.json"]) == 0


def test_an_earlier_checkpoint_gives_way_only_where_the_chains_lead_through_it(
    settings: Settings, intruder: Admin, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["audit", "checkpoint", "kept.json"]) == 0
    write(settings, more=1)
    assert call(["audit", "checkpoint", "kept.json"]) == 0
    before = Path("kept.json").read_text()
    rewrite(intruder, "run-a")
    assert call(["audit", "checkpoint", "kept.json"]) == 4
    assert "rewritten" in capsys.readouterr().err
    assert Path("kept.json").read_text() == before


def test_a_file_that_is_no_checkpoint_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("thesis.json").write_text("years of work")
    assert call(["audit", "checkpoint", "thesis.json"]) == 2
    assert Path("thesis.json").read_text() == "years of work"
    assert call(["audit", "checkpoint", "no/such/folder.json"]) == 2


def test_every_head_and_their_order_are_in_the_root() -> None:
    heads = {f"run-{n}": Anchor(n, f"{n:064x}") for n in range(1, 12)}
    root = merkle_root(heads)
    assert merkle_root(dict(reversed(heads.items()))) == root
    for run, head in heads.items():
        others = {other: where for other, where in heads.items() if other != run}
        assert merkle_root(others) != root
        assert merkle_root({**heads, run: Anchor(head.seq + 1, head.hash)}) != root
        assert merkle_root({**others, f"{run}x": head}) != root
    assert merkle_root({}) != merkle_root({"run-1": Anchor(1, "0")})

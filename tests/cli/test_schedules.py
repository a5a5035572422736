"""`factory schedule`, in this process."""

from __future__ import annotations

import json

import pytest

from cli.main import call
from core.settings import Settings
from tests.cli.told import tell_run

pytestmark = pytest.mark.usefixtures("in_process")


def test_a_schedule_is_added_listed_paused_and_removed(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORY_MODEL", "offline")
    monkeypatch.setenv("COLUMNS", "160")
    assert call(["schedule", "list"]) == 0
    assert "no schedule" in capsys.readouterr().out
    tell_run(settings, ["governance_analysis", "rejected"], [])
    assert call(["schedule", "add", "tools", "Look after it", "--every", "2h", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["seconds"], made["requirement"], made["paused_at"]) == (7200, "Look after it", None)
    assert call(["schedule", "list", "tools"]) == 0
    listed = capsys.readouterr().out
    assert made["id"] in listed
    assert "every 2h" in listed
    assert call(["schedule", "pause", made["id"]]) == 0
    assert call(["schedule", "resume", made["id"][:-2], "--json"]) == 0
    assert call(["schedule", "remove", made["id"]]) == 0
    assert call(["schedule", "remove", made["id"]]) == 2
    assert "no schedule" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [["--every", "2h", "--cron", "* * * * *"], [], ["--every", "soon"], ["--cron", "0 0 30 2 *"]],
)
def test_a_schedule_without_times_is_refused(
    wrong: list[str], settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORY_MODEL", "offline")
    assert call(["schedule", "add", "tools", "Look after it", *wrong]) == 2
    assert "schedule" in capsys.readouterr().err

"""`factory user` and `factory token`."""

from __future__ import annotations

import json

import pytest

from cli.main import call


@pytest.mark.usefixtures("in_process")
def test_a_program_gets_a_token_and_loses_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["user", "add", "ci", "--role", "operator", "--program", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["role"] == "operator"
    assert call(["token", "create", "build", "--user", "ci", "--allow", "read", "--project", "shop"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("fct_")
    assert "read, projects shop" in told.err
    assert call(["token", "list", "--json"]) == 0
    listed = capsys.readouterr().out
    assert told.out.strip() not in listed
    (token,) = json.loads(listed)["tokens"]
    assert call(["token", "revoke", token["id"]]) == 0
    assert call(["token", "list"]) == 0
    assert "revoked" in capsys.readouterr().out


@pytest.mark.usefixtures("in_process")
def test_a_person_without_a_terminal_needs_a_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(["user", "add", "ada", "--role", "hr"]) == 2
    assert "--password-stdin" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.readline", lambda: "a lamp beside the river\n")
    assert call(["user", "add", "ada", "--role", "hr", "--password-stdin"]) == 0
    assert call(["user", "role", "ada", "auditor"]) == 0
    assert call(["user", "list"]) == 0
    shown = capsys.readouterr().out
    assert "auditor" in shown
    assert "password, tokens" in shown
    assert call(["user", "delete", "ada"]) == 0
    assert call(["token", "create", "x", "--user", "ada"]) == 2
    assert "There is no user 'ada'" in capsys.readouterr().err

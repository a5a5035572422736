"""`factory memory`: what teams remember is found, told, shared, edited and forgotten by people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from psycopg import sql

from cli.main import call
from core.database import Database
from core.events import EventLog
from core.settings import Settings
from memory.audit.stages import RECALLED, SNAPSHOT
from memory.extraction.echoes import mark
from memory.mental_models.service import MentalModels
from memory.records import SHARED, Draft, Kind, Source
from memory.service import Memories
from models.embeddings.local import LocalEmbedder
from tests.memory.conftest import AT
from workspace.projects import Workspace

pytestmark = pytest.mark.usefixtures("in_process")
T = TypeVar("T")
TEAM = "backend_engineering"
CODE = "import sqlite3\n\n# A loan lasts 21 days.\nLOAN_DAYS = 21\n"


@pytest.fixture
def library(settings: Settings) -> None:
    """A project with a run whose backend team wrote a file, and was told something from memory later."""

    async def make() -> None:
        await Workspace(settings).project("library")
        async with Database.open(settings) as db, Memories.open(db, LocalEmbedder()) as memories:
            log = EventLog(db)
            first = await log.append(
                "run-1",
                SNAPSHOT,
                {"commit": None},
                team=TEAM,
                key=f"{TEAM}.1/snapshot",
                texts={
                    "brief": "# Objective",
                    "file:src/app.py": CODE,
                    "result": {"verified_facts": ["It is so."], "confidence": 90},
                },
            )
            source = Source("run-1", first.seq, first.hash, f"{TEAM}.1", "src/app.py", 3, 18, 40)
            bank = await memories.bank("library", TEAM)
            [added] = await bank.add([_draft("A loan lasts 21 days.", source)], key="a")
            await bank.add([_draft("The service listens on port 8080.", source)], key="b")
            await MentalModels(memories).refresh("library", TEAM, key="r")
            told: dict[str, Any] = {
                "id": added.id,
                "kind": "fact",
                "text": "A loan lasts 21 days.",
                "score": 1.0,
                "bank": TEAM,
            }
            told["source"] = {"run_id": "run-1", "seq": 1, "stage": f"{TEAM}.1", "path": None, "line": None}
            await log.append(
                "run-2",
                RECALLED,
                {"banks": [TEAM], "ids": [added.id]},
                team="qa_engineering",
                key="qa_engineering.1/recalled",
                texts={"query": "loans", "recall": [told]},
            )

    asyncio.run(make())


def _draft(text: str, source: Source) -> Draft:
    return Draft(text, Kind.FACT, source, TEAM, f"run-1/{TEAM}.1", AT)


def do(settings: Settings, work: Callable[[Memories], Awaitable[T]]) -> T:
    """Something done to the memory of the test's database."""

    async def within() -> T:
        async with Database.open(settings) as db, Memories.open(db, LocalEmbedder()) as memories:
            return await work(memories)

    return asyncio.run(within())


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a command with --json; what it says, after its exit code was looked at."""

    def run(*arguments: str, code: int = 0) -> Any:
        assert call(["memory", *arguments, "--json"]) == code
        captured = capsys.readouterr()
        return json.loads(captured.out)

    return run


Tell = Callable[..., Any]


@pytest.mark.usefixtures("library")
def test_a_search_shows_source_and_what_the_score_is_made_of(
    told: Tell, capsys: pytest.CaptureFixture[str]
) -> None:
    [best, *_] = told("search", "library", "how", "long", "is", "a", "loan")["memories"]
    assert best["text"] == "A loan lasts 21 days."
    assert (best["source"]["run_id"], best["source"]["path"], best["source"]["line"]) == (
        "run-1",
        "src/app.py",
        3,
    )
    assert sum(best["parts"].values()) == pytest.approx(best["score"], abs=1e-4)
    assert call(["memory", "search", "library", "loan", "--team", TEAM, "--explain"]) == 0
    said = capsys.readouterr().out
    assert f"{mark(best['id'])} fact of {TEAM}" in said
    assert f"said in run-1, {TEAM}.1, src/app.py:3 (event 1)" in said
    assert "bm25 " in said


@pytest.mark.usefixtures("library")
def test_a_search_says_where_no_memory_has_any_of_its_words(
    told: Tell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told("search", "library", "loan")["degraded"] == []
    assert "no memory has any of these words" in " ".join(told("search", "library", "zebras")["degraded"])
    assert call(["memory", "search", "library", "zebras"]) == 0
    assert "no memory has any of these words" in capsys.readouterr().err


@pytest.mark.usefixtures("library")
def test_a_rule_that_a_person_tells_stands_in_their_name_with_its_event(
    told: Tell, settings: Settings
) -> None:
    rule = told("add", "library", "Never log a name.", "--team", TEAM)
    assert (rule["kind"], rule["outcome"], rule["speaker"]) == ("directive", "new", "person")
    source = rule["source"]
    assert source["run_id"] == "people/library"
    assert source["stage"].startswith("person (")
    again = told("add", "library", "never log a name", "--team", TEAM)
    assert (again["id"], again["outcome"]) == (rule["id"], "near_duplicate")

    async def directives(memories: Memories) -> list[str]:
        bank = await memories.bank("library", TEAM)
        events = await EventLog(memories.db).read("people/library")
        assert events[0].hash == source["hash"]
        return [memory.text for memory in await bank.directives()]

    assert do(settings, directives) == ["Never log a name."]
    assert told("show", str(rule["id"]))["text"] == "Never log a name."
    assert told("show", f"[m{rule['id']}]")["project"] == "library"


@pytest.mark.usefixtures("library")
def test_a_persons_fact_takes_the_place_of_what_it_contradicts(told: Tell) -> None:
    first = told("add", "library", "The service listens on port 8081.", "--shared", "--kind", "fact")
    second = told("add", "library", "The service listens on port 9000.", "--shared", "--kind", "fact")
    assert second["superseded"] == [first["id"]]
    assert told("show", str(first["id"]))["superseded_by"] == second["id"]
    shown = told("show", "library", "--shared")["memories"]
    assert [memory["id"] for memory in shown] == [second["id"]]
    assert len(told("show", "library", "--shared", "--past")["memories"]) == 2


@pytest.mark.usefixtures("library")
def test_secrets_and_addresses_are_masked_before_they_are_kept_and_the_person_is_told(
    told: Tell, settings: Settings
) -> None:
    text = "Ask anna@example.org for the key sk-abcdefghijklmnop0123456789"
    kept = told("add", "library", text, "--shared")
    assert set(kept["masked"]) == {"mail", "secret"}
    assert "anna@" not in json.dumps(kept)

    async def everything(memories: Memories) -> str:
        texts = await EventLog(memories.db).texts("people/library")
        return " ".join(str(text.value) for text in texts.values())

    assert "anna@" not in do(settings, everything)


@pytest.mark.usefixtures("library")
def test_why_names_run_stage_file_and_line_in_one_command(
    told: Tell, capsys: pytest.CaptureFixture[str]
) -> None:
    [origin, *_] = told("why", "a loan lasts 21 days", "--run", "run-2", "--stage", "qa_engineering")[
        "origins"
    ]
    assert (origin["how"], origin["run_id"], origin["stage"]) == ("memory", "run-1", f"{TEAM}.1")
    assert (origin["path"], origin["line"], origin["told_at"]) == ("src/app.py", 3, 1)
    assert origin["text"] == "# A loan lasts 21 days."
    assert (origin["says"], origin["told_to"]) == ("A loan lasts 21 days.", ["qa_engineering.1"])
    assert call(["memory", "why", "a loan lasts 21 days", "--run", "run-2"]) == 0
    said = capsys.readouterr().out
    assert "memory, told to qa_engineering.1 (event 1)\n  A loan lasts 21 days.\n" in said
    assert f"run-1, {TEAM}.1, src/app.py:3, event 1\n  where it reads: # A loan lasts 21 days." in said
    [said] = told("why", "it is so", "--run", "run-1")["origins"]
    assert (said["how"], said["path"]) == ("result", None)
    [written] = told("why", "LOAN_DAYS", "--run", "run-1", "--stage", f"{TEAM}.1")["origins"]
    assert (written["how"], written["path"], written["line"]) == ("file", "src/app.py", 4)
    assert written["text"] == "LOAN_DAYS = 21"
    assert "no stage" in told("why", "x", "--run", "run-1", "--stage", "nobody", code=2)["error"]["what"]
    assert "Nothing says" in told("why", "a loan lasts 99 days", "--run", "run-1", code=2)["error"]["what"]


@pytest.mark.usefixtures("library")
def test_why_says_once_what_several_stages_were_told_and_under_which_heading_a_brief_says_it(
    told: Tell, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async def more(memories: Memories) -> None:
        log = EventLog(memories.db)
        [bank] = [info for info in await memories.banks() if info.name == TEAM]
        for team in ("api_design", "documentation"):
            key, texts = (
                f"{team}.1/recalled",
                {"recall": [{"id": bank.id << 32 | 1, "text": "A loan lasts 21 days."}]},
            )
            await log.append("run-2", RECALLED, {"ids": []}, team=team, key=key, texts=texts)
        brief = {"brief": "# Requirement\n> Fines are 2 euros.\n\n# Objective\nWrite it down."}
        await log.append(
            "run-2", SNAPSHOT, {"commit": None}, team=TEAM, key=f"{TEAM}.1/snapshot", texts=brief
        )

    do(settings, more)
    [memory] = told("why", "a loan lasts 21 days", "--run", "run-2")["origins"]
    assert memory["told_to"] == ["qa_engineering.1", "api_design.1", "documentation.1"]
    assert memory["told_at"] == 1
    [asked] = told("why", "fines are 2 euros", "--run", "run-2", "--stage", TEAM)["origins"]
    assert (asked["how"], asked["line"], asked["section"]) == ("brief", 2, "Requirement")
    assert asked["text"] == "> Fines are 2 euros."
    assert call(["memory", "why", "fines are 2 euros", "--run", "run-2"]) == 0
    assert "brief, line 2, under “Requirement”: run-2, " in capsys.readouterr().out

    async def given(memories: Memories) -> None:
        brief = {"brief": "# Requirement\n> Fines are 2 euros.\n\n# Objective\nTest it."}
        for team in ("ux_ui_design", "ml_engineering"):
            key = f"{team}.1/snapshot"
            await EventLog(memories.db).append("run-2", SNAPSHOT, {}, team=team, key=key, texts=brief)

    do(settings, given)
    [asked] = told("why", "fines are 2 euros", "--run", "run-2")["origins"]
    assert asked["told_to"] == [f"{TEAM}.1", "ux_ui_design.1", "ml_engineering.1"]
    assert call(["memory", "why", "fines are 2 euros", "--run", "run-2"]) == 0
    said = capsys.readouterr().out
    assert f"brief of {TEAM}.1, ux_ui_design.1, ml_engineering.1, line 2, under “Requirement”: " in said
    assert call(["memory", "why", "nobody says this"]) == 2
    assert "factory audit search 'nobody says this'" in capsys.readouterr().err


@pytest.mark.usefixtures("library")
def test_what_is_forgotten_is_gone_from_search_page_audit_and_answers_and_the_chain_is_whole(
    told: Tell, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    [best, *_] = told("search", "library", "loan")["memories"]
    assert "to be confirmed" in told("forget", str(best["id"]), code=2)["error"]["what"]
    gone = told("forget", f"m{best['id']}", "--yes", "--reason", "they asked")
    assert gone["forgotten"] == [best["id"]]
    assert {cut["text"] for cut in gone["cut"]} >= {"file:src/app.py", "recall"}
    assert told("forget", str(best["id"]), "--yes")["forgotten"] == []
    assert "is forgotten" in told("promote", str(best["id"]), code=2)["error"]["what"]
    assert told("show", str(best["id"]))["text"] == ""
    page = told("models", "library", TEAM)
    assert [line["text"] for line in page["lines"]] == ["The service listens on port 8080."]
    assert "Nothing says" in told("why", "a loan lasts 21 days", code=2)["error"]["what"]
    assert call(["audit", "verify"]) == 0
    capsys.readouterr()

    async def rows(memories: Memories) -> str:
        async with memories.db.pool.connection() as connection:
            tables = "memories", "event_texts", "mental_models", "embeddings"
            found: list[str] = []
            for table in tables:
                query = sql.SQL("SELECT t::text AS row FROM factory.{} t").format(sql.Identifier(table))
                found.append(str(await (await connection.execute(query)).fetchall()))
        return "\n".join(found)

    assert "loan lasts" not in do(settings, rows).casefold()


@pytest.mark.usefixtures("library")
def test_a_memory_is_shared_with_all_teams_once_and_said_to_be(
    told: Tell, capsys: pytest.CaptureFixture[str]
) -> None:
    [best, *_] = told("search", "library", "loan")["memories"]
    shared = told("promote", str(best["id"]))
    assert told("show", str(shared["shared"]))["bank"] == SHARED
    again = told("promote", str(best["id"]))
    assert (again["shared"], shared["outcome"], again["outcome"]) == (shared["shared"], "new", "duplicate")
    assert call(["memory", "promote", str(best["id"])]) == 0
    assert "was shared before, as" in capsys.readouterr().out
    assert "shared already" in told("promote", str(shared["shared"]), code=2)["error"]["what"]


@pytest.mark.usefixtures("library")
def test_a_page_is_listed_edited_compared_and_keeps_its_versions(
    told: Tell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [listed] = told("models")["pages"]
    assert (listed["project"], listed["team"], listed["version"]) == ("library", TEAM, 1)
    assert call(["memory", "models", "library", TEAM]) == 0
    mine = capsys.readouterr().out + "- Ask Anna before you change fines.\n"
    (tmp_path / "page.md").write_text(mine, encoding="utf-8")
    page = told("models", "library", TEAM, "--edit", "page.md")
    assert page["version"] == 2
    assert page["lines"][-1]["text"] == "Ask Anna before you change fines."
    assert page["lines"][-1]["by"] not in {"factory", ""}
    stale = told("models", "library", TEAM, "--edit", "page.md", "--based-on", "1", code=2)
    assert "version 2" in stale["error"]["what"]
    assert [one["version"] for one in told("models", "library", TEAM, "--versions")["versions"]] == [1, 2]
    assert "+- Ask Anna before you change fines." in told("models", "library", TEAM, "--diff")["diff"]
    assert len(told("models", "library", TEAM, "--version", "1")["lines"]) == 2
    assert "cannot be read" in told("models", "library", TEAM, "--edit", "gone.md", code=2)["error"]["what"]


@pytest.mark.usefixtures("library")
def test_a_page_in_a_file_says_what_it_is_so_that_nothing_that_came_meanwhile_is_overwritten(
    told: Tell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["memory", "models", "library", TEAM]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"<!-- {TEAM} in library, version 1, ")
    (tmp_path / "mine.md").write_text(page + "- Mine.\n", encoding="utf-8")
    (tmp_path / "other.md").write_text(page + "- Of another person.\n", encoding="utf-8")
    told("models", "library", TEAM, "--edit", "other.md")
    moved = told("models", "library", TEAM, "--edit", "mine.md", code=2)["error"]
    assert "began from version 1" in moved["what"]
    assert "--based-on 2" in moved["todo"]
    elsewhere = told("models", "library", "qa_engineering", "--edit", "mine.md", code=2)["error"]
    assert f"the page of {TEAM} in library" in elsewhere["what"]
    mine = told("models", "library", TEAM, "--edit", "mine.md", "--based-on", "2")
    assert [line["text"] for line in mine["lines"]][-1] == "Mine."
    assert not any("<!--" in line["text"] for line in mine["lines"])


@pytest.mark.usefixtures("library")
def test_secrets_in_a_page_that_a_person_writes_are_masked_and_the_person_is_told(
    told: Tell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.md").write_text("- Ask anna@example.org, sk-abcdefghijklmnop0123456789\n")
    page = told("models", "library", TEAM, "--edit", "page.md")
    assert set(page["masked"]) == {"mail", "secret"}
    assert [line["text"] for line in page["lines"]] == ["Ask [mail], [redacted]"]
    (tmp_path / "page.md").write_text("- Or call +31 6 12345678.\n")
    assert call(["memory", "models", "library", TEAM, "--edit", "page.md"]) == 0
    assert "Masked before it was kept: phone." in capsys.readouterr().err


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("given", "what"), [(b"", "is empty"), (b"- \xff", "is not UTF-8"), (b"- \x1b[31m", "is binary")]
)
def test_a_text_that_cannot_be_read_is_called_what_it_was_meant_for(
    told: Tell, tmp_path: Path, given: bytes, what: str
) -> None:
    (tmp_path / "page.md").write_bytes(given)
    said = told("models", "library", TEAM, "--edit", "page.md", code=2)["error"]
    assert f"The page in page.md {what}" in said["what"]
    assert said["untouched"] == "The page is as it was"
    assert "factory memory models" in said["todo"] or "iconv" in said["todo"]


@pytest.mark.usefixtures("library")
def test_a_phrase_that_the_audit_forgets_goes_from_pages_and_memories_that_say_it_are_named(
    told: Tell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.md").write_text("- Anna Jansen of Kerkstraat decides.\n- Loans are free.\n")
    told("models", "library", TEAM, "--edit", "page.md")
    (tmp_path / "page.md").write_text("- Loans are free.\n")
    told("models", "library", TEAM, "--edit", "page.md")
    kept = told("add", "library", "Ask anna jansen about fines.", "--shared", "--kind", "fact")
    assert call(["audit", "forget", "Anna Jansen", "--yes", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["page_lines"], done["remembered"]) == (1, [kept["id"]])
    old = told("models", "library", TEAM, "--version", "2")["lines"]
    assert [(line["text"], line["forgotten"]) for line in old] == [("", True), ("Loans are free.", False)]
    assert call(["audit", "forget", "Anna Jansen", "--yes"]) == 0
    assert f"memory forget {mark(kept['id']).strip('[]')}" in capsys.readouterr().err
    told("forget", str(kept["id"]), "--yes")
    assert call(["audit", "forget", "Anna Jansen", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["remembered"] == []


REFUSED: list[tuple[list[str], str]] = [
    (["search", "nowhere", "x"], "no project"),
    (["search", "../etc", "x"], "no project"),
    (["search", "library", "x", "--team", "nobody"], "no team"),
    (["search", "library", "x", "--kind", "rumour"], "no kind"),
    (["search", "library", "x", "--team", TEAM, "--shared"], "two banks"),
    (["search", "library", " "], "nothing to look for"),
    (["search", "library", "…"], "nothing to look for"),
    (["show", "999999999999"], "no memory"),
    (["show", "nowhere"], "no project"),
    (["add", "library", "x"], "Who is to remember"),
    (["add", "library", " ", "--shared"], "no word"),
    (["add", "library", "…", "--shared"], "no word"),
    (["add", "library", "x", "--shared", "--kind", "experience"], "not told"),
    (["add", "nowhere", "x", "--shared"], "no project"),
    (["add", "library", "x" * 16_001, "--shared"], "16,001 characters"),
    (["forget", "twelve", "--yes"], "no id"),
    (["forget", "12", "--yes"], "no memory"),
    (["promote", "12"], "no memory"),
    (["why", "x", "--stage", TEAM], "belongs to a run"),
    (["why", "?"], "no word"),
    (["models", "library", "--versions"], "One page"),
    (["models", "nowhere"], "no project"),
    (["models", "library", "nobody"], "no team"),
    (["models", "library", TEAM, "--version", "9"], "no version 9"),
]


@pytest.mark.usefixtures("library")
def test_what_cannot_be_done_is_said_clearly(told: Tell) -> None:
    # In one test: each would have a database of its own.
    for arguments, what in REFUSED:
        assert what in told(*arguments, code=2)["error"]["what"]


def test_an_empty_database_has_nothing_to_show_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["memory", "models"]) == 0
    assert "No team has a page yet." in capsys.readouterr().out
    assert call(["memory", "why", "anything"]) == 2
    assert "Nothing says" in capsys.readouterr().err


@pytest.mark.usefixtures("library")
def test_a_memory_cannot_play_with_the_terminal(told: Tell, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b]0;owned\x07Loans \x1b[31mare\x1b[0m \u202eeerf\u202c, ไทย 📚 \x9b2J"
    kept = told("add", "library", hostile, "--shared", "--kind", "fact")
    for arguments in (
        ["search", "library", "loans"],
        ["show", str(kept["id"])],
        ["show", "library", "--shared"],
        ["why", "loans"],
    ):
        assert call(["memory", *arguments]) == 0
        said = capsys.readouterr().out
        assert "📚" in said
        assert not set("\x1b\x9b\x07\u202e") & set(said)

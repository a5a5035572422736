"""What a stage leaves behind is read by rules, and each fact is held against what was really there."""

from __future__ import annotations

import json
from time import process_time

import pytest

from memory.evidence import Text, locate
from memory.extraction import decisions, interfaces, results
from memory.extraction.echoes import Echoes, mark
from memory.extraction.results import Result
from memory.extraction.subjects import question_subject, subject_of
from memory.records import Kind

NOTES = """# Notes

The id of a deleted row is never used again.
A member may borrow at most 3 books
at the same time, and no more.

De terugbrengtermijn is 21 dagen. 📚
ห้องสมุดเปิดเวลา 9 นาฬิกา
"""


@pytest.mark.parametrize(
    ("claim", "line"),
    [
        ("The id of a deleted row is never used again.", 3),
        ("the id of  a deleted row is NEVER used again", 3),
        ("Ids of deleted rows are never used again", 3),
        ("A member may borrow at most 3 books at the same time, and no more", 4),
        ("Members may borrow at most 3 books", 4),
        ("De terugbrengtermijn is 21 dagen. 📚", 7),
        ("ห้องสมุดเปิดเวลา 9 นาฬิกา", 8),
    ],
)
def test_a_claim_is_found_where_it_stands(claim: str, line: int) -> None:
    support = locate(claim, [Text("nothing here\n", "a.md"), Text(NOTES, "docs/notes.md")])
    assert support is not None
    assert (support.path, support.line) == ("docs/notes.md", line)
    assert NOTES[support.start : support.end].splitlines()[0] in NOTES.splitlines()[line - 1]


@pytest.mark.parametrize(
    "claim",
    [
        "The id of a deleted row is used again.",
        "A member may borrow at most 5 books at the same time",
        "The moon is made of cheese",
        "`POST /books` may borrow at most 3 books at the same time",
        "De terugbrengtermijn is 28 dagen",
        "ห้องสมุดเปิดเวลา 10 นาฬิกา",
        "",
        "🎉",
    ],
)
def test_a_claim_that_nothing_bears_out_is_found_nowhere(claim: str) -> None:
    assert locate(claim, [Text(NOTES, "docs/notes.md")]) is None


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("The port is 80", "The port is 8080."),
        ("A loan lasts 2", "A loan lasts 21 days"),
        ("A loan lasts 5 days", "A loan lasts 1.5 days"),
        ("A loan lasts 7 days", "A loan lasts 7.5 days"),
        ("The lowest balance is 5", "The lowest balance is -5."),
        ("The limit is 1,000", "The limit is 1,000,000"),
        ("Retries are made", "No retries are made."),
        ("store passwords in plain text", "1. Do not store passwords in plain text."),
        (
            "store passwords in plain text",
            f"{'Whatever happens' * 4}, do not\nstore passwords in plain text.",
        ),
        ("wachtwoorden staan in de database", "Er mogen geen wachtwoorden staan in de database."),
    ],
)
def test_a_claim_cut_out_of_what_says_otherwise_is_not_borne_out(claim: str, text: str) -> None:
    assert locate(claim, [Text(text, "a.md")]) is None


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("The lowest balance is -5", "The lowest balance is -5."),
        ("A loan lasts 1.5 days", "As a rule a loan lasts 1.5 days."),
        ("Retries are made", "No mail is lost. Retries are made."),
        ("Retries are made", "There is no queue, and retries are made."),
        ("Retries are made", "- no queue\n- retries are made"),
        ("78 passed", "no errors\n78 passed in 3.10s"),
        ("Passwords are not stored", "Note: passwords are not stored."),
        ("ห้องสมุดเปิด", "ที่นี่ห้องสมุดเปิดเวลา 9 นาฬิกา"),
        ("ADR 7 holds", "See ADR 7 holds: 2026-01-07"),
    ],
)
def test_a_claim_within_a_longer_text_is_borne_out(claim: str, text: str) -> None:
    assert locate(claim, [Text(text, "a.md")]) is not None


def test_what_is_said_is_preferred_to_what_is_nearly_said() -> None:
    near = Text("A loan lasts at most 14 days for a member, as a rule", "a.md")
    said = Text("x\nA loan lasts 14 days\n", "b.md")
    support = locate("A loan lasts 14 days", [near, said])
    assert support is not None
    assert (support.path, support.line) == ("b.md", 2)


@pytest.mark.parametrize(
    "text", ["word " * 60_000, "7 " * 100_000, "a" * 300_000, "`" * 100_000, "1." * 100_000]
)
def test_a_big_or_hostile_text_is_searched_in_time(text: str) -> None:
    began = process_time()
    locate("word 7 `aaa` in 1.2.3 and a/b/c", [Text(text, "a.md")])
    locate(text[:2000], [Text(NOTES, "a.md")])
    assert process_time() - began < 10


OBSERVED = Text("collected 78 items\n78 passed in 3.10s\n")


def test_a_fact_that_is_borne_out_is_a_fact_with_its_place() -> None:
    given = Result(facts=("Members may borrow at most 3 books", "pytest: 78 passed"))
    read = results.read(given, [Text(NOTES, "docs/notes.md"), Text("pytest\n78 passed")], Echoes(()))
    first, second = read.claims
    assert (first.kind, first.path, first.line) == (Kind.FACT, "docs/notes.md", 4)
    assert (second.kind, second.path, second.line) == (Kind.FACT, None, None)
    assert read.unsupported == 0


def test_a_claim_without_support_is_no_fact() -> None:
    read = results.read(
        Result(facts=("The service answers in 5 ms",)), [Text(NOTES, "docs/notes.md")], Echoes(())
    )
    assert [claim.kind for claim in read.claims] == [Kind.EXPERIENCE]
    assert read.unsupported == 1


def test_assumptions_and_blockers_are_never_facts() -> None:
    given = Result(assumptions=("A loan lasts 14 days",), blockers=("No key for the mail server",))
    read = results.read(given, [Text("A loan lasts 14 days", "a.md")], Echoes(()))
    assert [(claim.kind, claim.text) for claim in read.claims] == [
        (Kind.EXPERIENCE, "Assumed, not checked: A loan lasts 14 days"),
        (Kind.EXPERIENCE, "Was blocked: No key for the mail server"),
    ]


def test_lists_of_files_and_repeated_answers_are_left_out() -> None:
    given = Result(
        facts=(
            "Written: .gitignore, docs/api/guide.md, src/app/__init__.py",
            "person answered: answer of person (jan): yes",
            "docs/a.md",
            "  ",
        )
    )
    assert results.read(given, [], Echoes(())).claims == []


@pytest.mark.parametrize(
    "text",
    [
        "A loan lasts 14 days.",
        "a loan lasts 14 days",
        f"As recalled {mark(12)}: something else altogether",
        "Fact: A loan lasts 14 days",
    ],
)
def test_an_echo_of_what_was_recalled_is_left_out(text: str) -> None:
    read = results.read(
        Result(facts=(text,)), [Text("A loan lasts 14 days", "a.md")], Echoes(["A loan lasts 14 days."])
    )
    assert (read.claims, read.echoes) == ([], 1)


LONG = "Each loan in the public library lasts exactly 14 days counted from the moment of the checkout"


@pytest.mark.parametrize(
    ("told", "claim"),
    [
        (LONG, LONG.replace("14", "21")),
        (LONG, f"Not true: {LONG}"),
        ("The service retries failed payments", "The service does not retry failed payments"),
        (
            "The library takes payments before 9 in the morning",
            "The library takes payments after 9 in the morning",
        ),
        ("The whole service is written in C++ and tested", "The whole service is written in C# and tested"),
        (LONG, LONG.replace("checkout", "reminder")),
    ],
)
def test_a_correction_of_what_was_recalled_is_no_echo(told: str, claim: str) -> None:
    read = results.read(Result(facts=(claim,)), [Text(claim, "a.md")], Echoes([told]))
    assert ([one.text for one in read.claims], read.echoes) == ([claim], 0)


@pytest.mark.parametrize(
    ("told", "claim"),
    [
        ("The database is SQLite", "Our database is SQLite."),
        (LONG, LONG.replace("Each", "Every").replace("exactly ", "")),
        (LONG, f"Round 7: {LONG}"),
        (LONG, LONG.replace("checkout", "reminder")),
    ],
)
def test_what_was_recalled_in_nearly_the_same_words_is_an_echo(told: str, claim: str) -> None:
    read = results.read(Result(facts=(claim,)), [Text(f"{told}\n{claim}", "a.md")], Echoes([told]))
    assert (read.claims, read.echoes) == ([], 1)


def test_what_says_more_than_was_recalled_is_no_echo() -> None:
    said = "A loan lasts 14 days, and 28 days for a member who has a gold card since January"
    assert not Echoes(["A loan lasts 14 days."]).holds(said)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The database is SQLite", "the database is Postgres 18"),
        ("The service listens on port 8000", "The service listens on port 9000."),
        ("A loan lasts 14 days", "A loan lasts 21 days"),
        ("pytest tests/unit: 6 failed, 72 passed", "pytest tests/unit: 78 passed"),
    ],
)
def test_a_sentence_with_another_value_is_about_the_same(one: str, other: str) -> None:
    assert subject_of(one) is not None
    assert subject_of(one) == subject_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ADR 0001 was accepted", "ADR 0002 was accepted"),
        ("`GET /loans` answers 200", "`GET /members` answers 200"),
        ("The app is fast", "The app is small"),
        ("pytest tests/unit: 78 passed", "pytest tests/web: 4 passed"),
        ("It is raining", "It is late"),
    ],
)
def test_sentences_about_different_things_do_not_supersede_each_other(one: str, other: str) -> None:
    assert subject_of(one) is None or subject_of(one) != subject_of(other)


def test_a_question_is_the_same_whatever_its_punctuation() -> None:
    assert question_subject("Which licence?") == question_subject("which licence")


OPENAPI = json.dumps(
    {
        "openapi": "3.1.0",
        "paths": {
            "/loans": {
                "get": {"summary": "List\nloans", "responses": {"200": {}, "400": {}}},
                "post": {"operationId": "create_loan", "responses": {"201": {}}},
            },
            "/loans/{id}": {"get": {}},
        },
    },
    indent=2,
)


def test_the_operations_of_an_interface_are_facts_with_their_lines() -> None:
    claims = interfaces.read({"docs/api/openapi.json": OPENAPI})
    assert [(claim.text, claim.subject) for claim in claims] == [
        ("`GET /loans`: List loans (answers 200, 400)", "interface:GET /loans"),
        ("`POST /loans`: create_loan (answers 201)", "interface:POST /loans"),
        ("`GET /loans/{id}` is an operation", "interface:GET /loans/{}"),
    ]
    lines = OPENAPI.splitlines()
    assert [lines[(claim.line or 0) - 1].strip().split('"')[1] for claim in claims] == ["get", "post", "get"]
    assert all(OPENAPI[claim.start : claim.end].strip('"') in {"get", "post"} for claim in claims)


def test_tables_routes_and_mentions_are_read_from_code() -> None:
    files = {
        "src/app/schema.sql": 'CREATE TABLE IF NOT EXISTS "loans" (\n'
        "  id INTEGER PRIMARY KEY, -- the id, never reused\n"
        "  book_id INTEGER REFERENCES books (id),\n  price NUMERIC(10, 2),\n  UNIQUE (book_id)\n);\n",
        "src/app/main.py": '@app.get("/loans/<int:id>")\ndef loan(id): ...\n',
        "docs/guide.md": "Ask with `GET /loans/{id}`, or `DELETE /loans/{number}`.\n",
    }
    said = {claim.subject: (claim.text, claim.path, claim.line) for claim in interfaces.read(files)}
    assert said == {
        "table:loans": (
            "Table loans: id INTEGER, book_id INTEGER → books, price NUMERIC(10, 2)",
            "src/app/schema.sql",
            1,
        ),
        "interface:GET /loans/{}": ("`GET /loans/<int:id>` is an operation", "src/app/main.py", 1),
        "use:DELETE /loans/{}": ("`DELETE /loans/{number}` is used in docs/guide.md", "docs/guide.md", 1),
    }


@pytest.mark.parametrize(
    "text", ["{", '{"openapi": 3}', '{"openapi": "3", "paths": []}', "[" * 100_000, "CREATE TABLE x ("]
)
def test_files_that_are_no_interface_give_no_claims_and_no_error(text: str) -> None:
    assert not [claim for claim in interfaces.read({"a.json": text}) if "GET" in claim.text]
    assert len(interfaces.read({"a.sql": text})) <= 1


ADR = (
    "# 0002: Postgres\n\nStatus: {status}\n\n## Context\n\nMany writers.\n\n"
    "## Decision\n\nPostgres 18,\nembedded.\n\n## Later\n\nx\n"
)


@pytest.mark.parametrize(
    ("status", "text", "line"),
    [
        ("accepted", "Postgres: Postgres 18, embedded.", 11),
        ("proposed", "Proposed, not decided: Postgres: Postgres 18, embedded.", 11),
        ("superseded by 0003", "Postgres: no longer holds (superseded by 0003)", 3),
    ],
)
def test_a_decision_record_is_a_decision_of_its_status(status: str, text: str, line: int) -> None:
    [claim] = decisions.read(
        {"docs/adr/0002-db.md": ADR.format(status=status), "docs/adr/README.md": "# ADRs"}
    )
    assert (claim.text, claim.kind, claim.line) == (text, Kind.DECISION, line)
    assert claim.subject == "adr:docs/adr/0002-db.md"

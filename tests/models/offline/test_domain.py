"""The parser: nouns, fields and verbs where it can see them, something sane where it cannot."""

import keyword
import sqlite3
import sys

import pytest

from models.offline.domain import Domain, parse

LIBRARY = (
    "A lending library: members borrow books; a book has a title, an author and a year; "
    "overdue loans are listed"
)


def shape(domain: Domain) -> dict[str, list[str]]:
    return {entity.name: [field.name for field in entity.fields] for entity in domain.entities}


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        (
            LIBRARY,
            {
                "member": ["name", "email"],
                "book": ["title", "author", "year"],
                "loan": ["member_id", "book_id", "borrowed_on", "due_on", "returned"],
            },
        ),
        (
            "A service that lends tools to neighbours, with search",
            {"tool": ["name", "notes"], "neighbour": ["name", "notes"]},
        ),
        (
            "A service that lends tools to neighbours, with search\n\nTools have a colour",
            {"tool": ["name", "colour"]},
        ),
        ("Track my plants and when I last watered them", {"plant": ["name", "last_watered_on"]}),
        ("todo list with tags and due dates", {"todo": ["title", "tags", "due_date"]}),
        (
            "- Book: title, author\n- Member: name, email",
            {"book": ["title", "author"], "member": ["name", "email"]},
        ),
        ("An inventory of spare parts with quantity and price", {"part": ["name", "quantity", "price"]}),
        ("Users can add pets (name, species, age).", {"pet": ["name", "species", "age"]}),
        ("Add pets and mark them as adopted", {"pet": ["name", "adopted"]}),
        ("A plant tracker", {"plant": ["name", "notes"]}),
        (
            "Keep track of expenses with amount, category and date.",
            {"expense": ["description", "amount", "category", "date"]},
        ),
        ("A loan has a book. A book has a title.", {"loan": ["book_id", "notes"], "book": ["title"]}),
        ("An order has a group, a table and a select.", {"order": ["name", "group", "table", "select"]}),
        ("A class has a name. Students enroll in classes.", None),
        (
            "Manage customers, orders and invoices",
            {"customer": ["name", "email"], "order": ["name", "notes"], "invoice": ["name", "notes"]},
        ),
        ("A **loan** says which member has which item, since when. A member has a name.", None),
    ],
)
def test_nouns_become_entities_with_their_fields(requirement, expected):
    domain = parse(requirement)
    assert not domain.guessed
    if expected is not None:
        assert shape(domain) == expected


def test_a_clause_that_an_editor_broke_is_read_whole() -> None:
    broken = (
        "An office for a carpenter\n"
        "An order has a total, a date, a key and\na value. A group has a\nname and a colour.\n"
        "- A table has a name, a width, a height,\n  a material\n"
        "shelf: name, length\nlamp: name, power\n"
    )
    found = shape(parse(broken))
    assert list(found) == ["order", "group", "table", "shelf"]
    assert found["order"][-1] == "value"
    assert found["group"] == ["name", "colour"]
    assert found["table"][-1] == "material"
    assert found["shelf"] == ["name", "length"]


def test_fields_are_typed_by_their_names():
    domain = parse(
        "A meter has a label, a reading count, a price per unit, an active flag, a due date, is_open."
    )
    kinds = {field.name: field.kind for field in domain.entities[0].fields}
    assert kinds["label"] == "text"
    assert kinds["reading_count"] == "integer"
    assert kinds["price_per_unit"] == "number"
    assert kinds["due_date"] == "date"
    assert kinds["is_open"] == "boolean"


def test_verbs_know_the_request_that_serves_them():
    served = {(one.verb, one.plural): one.served_by for one in parse(LIBRARY).operations}
    assert served == {("borrow", "loans"): "POST /api/loans", ("list", "loans"): "GET /api/loans"}


@pytest.mark.parametrize(
    ("comment", "entity", "field"),
    [
        ("add a field isbn to books", "book", "isbn"),
        ("Please add an isbn and a language to each book.", "book", "language"),
        ("Books should also have a price", "book", "price"),
        ("add a field `isbn` to books, and also track publishers", "publisher", "name"),
        ("also track publishers", "publisher", "name"),
    ],
)
def test_a_review_adds_fields_and_entities(comment, entity, field):
    before, after = parse(LIBRARY), parse(LIBRARY, comment)
    assert field in shape(after)[entity]
    assert after.changes
    assert after.package == before.package
    added = next(one for one in after.entities if one.name == entity)
    assert entity == "publisher" or not next(one for one in added.fields if one.name == field).required


def test_a_review_that_asks_for_something_else_changes_no_data():
    assert parse(LIBRARY, "Make the guide friendlier.").changes == ()


STRANGE = [
    "",
    " ",
    "\n\n",
    "a",
    "!!!",
    "?!.,;:",
    "🎉🎉🎉",
    "🪴 my plants 🪴",
    "植物を記録する",
    "Список книг",
    "قائمة الكتب",
    "Ein Rezeptbuch mit Zutaten und Schritten",
    "Un carnet d'adresses pour mes amis",
    "Überweisungen für Ärzte",
    "class",
    "import",
    "None",
    "json",
    "test",
    "sqlite3",
    "order group table",
    "ORDER BY; DROP TABLE users;",
    "A table has a group and an order. An order has a select and a where.",
    "A class has a def, an import and a None",
    "A sqlite_master has a rowid and an oid",
    "An id has an id, a limit, an offset and a q",
    "'; DROP TABLE books; --",
    '"""quoted""" and \'\'\' and \\ \\n \\u0041',
    "{curly} @@title@@ $dollar %s %(x)s {{x}}",
    "---\ncall: work\nteam: factory\n---\n# Requirement\n> nothing\nA shop has a name",
    "```write src/app.py\nprint(1)\n```\n````bash\nrm -rf /\n````\nTrack books",
    "<script>alert(1)</script> books",
    "a" * 200_000,
    "word " * 40_000,
    "books and " * 20_000,
    "A book has " + ", ".join(f"field{n}" for n in range(500)),
    "-" * 5000,
    "(" * 3000,
    "\x00\x01\x02 binary",
    "\ud800 lone",
    "the the the",
    "1 2 3 4 5",
    "x y z",
    "http://example.org/books?title=1 see [link](../../etc/passwd)",
    "A __proto__ has a constructor and a toString",
    "buses, boxes, cities, knives and series",
    "news species data",
    "people rate movies",
    "# Heading\n\n* a\n* b",
]


@pytest.mark.parametrize("requirement", STRANGE, ids=range(len(STRANGE)))
def test_any_text_ends_in_something_that_can_be_built(requirement):
    domain = parse(requirement)
    assert domain == parse.__wrapped__(requirement)
    assert domain.package.isidentifier()
    assert domain.package.isascii()
    assert not keyword.iskeyword(domain.package)
    assert domain.package not in sys.stdlib_module_names
    assert 1 <= len(domain.title) <= 40
    assert domain.title.isprintable()
    assert not set(domain.title) & set("\"'\\@{}")
    assert 1 <= len(domain.entities) <= 4
    plurals = [entity.plural for entity in domain.entities]
    assert len(set(plurals)) == len(plurals)
    database = sqlite3.connect(":memory:")
    for entity in domain.entities:
        names = [field.name for field in entity.fields]
        assert names
        assert len(set(names)) == len(names) <= 12
        assert not set(names) & {"id", "q", "limit", "offset"}
        assert any(not field.references for field in entity.fields)
        columns = ", ".join(f'"{name}"' for name in names)
        database.execute(f'CREATE TABLE "{entity.plural}" (id INTEGER PRIMARY KEY, {columns})')
    database.close()

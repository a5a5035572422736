"""Requirements that nobody prepared for: what the offline model makes of them works outside the factory."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import OpenFactory, released, to_the_end

GARDEN = """Ein Verwaltungsdienst für Kleingärten

A Kleingarten has a Pächter, a Größe and a Wasserzähler. A Zwetschge has a Sorte and a date of harvest.
Members plant Zwetschgen and record the Kleingarten.
"""

CARPENTER = """An office for a carpenter.

A table has a name, a column count, an index and a primary color. An order has a total, a date, a key and
a value. A group has a name and a limit. Staff select tables, drop orders, update groups and join them.
"""

FLEET = """# Fleet of cargo bicycles

We are a cooperative of forty households that shares a small fleet of cargo bicycles. Until now everything
was written into a paper notebook in the shed, and twice a year somebody loses it. We want a service that
replaces it.

## What there is

- A bicycle has a nickname, a frame number, a colour, a number of gears and a flag whether it is electric.
- A household has a name, a street, a phone number and the year it joined.
- A repair has a description, a cost, a date and a mechanic.
- A reservation has a starting date, an ending date and a purpose.

## What people do

Households reserve bicycles for a day or a weekend. Mechanics record repairs. The treasurer lists repairs
and their costs at the end of the year. Anybody can search bicycles by nickname. A household can cancel a
reservation, that is, delete it, as long as it has not begun. The treasurer updates households when they
move.

## What matters

It must run on the old laptop in the shed, without the internet, and be simple to back up. Data about
households must never leave the laptop. It should answer within a second. It must not lose an entry when
somebody pulls the plug, which happens. Nobody here is a programmer, so the guide must say how to start
it, step by step; the person who reads it has never seen a terminal. In the years to come we may add
trailers, but not now.
"""


@dataclass(frozen=True)
class Wanted:
    """What the requirement's nouns say, whoever reads it."""

    requirement: str
    things: Mapping[str, set[str]]
    """Entity -> fields that it must have."""


WANTED = [
    pytest.param(
        Wanted(
            CARPENTER,
            {
                "table": {"name", "index", "column_count", "primary_color"},
                "order": {"total", "date", "key", "value"},
                "group": {"name", "limit_value"},
            },
        ),
        id="words of SQL",
    ),
    pytest.param(
        Wanted(GARDEN, {"kleingarten": {"pachter", "grosse", "wasserzahler"}, "zwetschge": {"sorte"}}),
        id="odd nouns",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        Wanted(
            FLEET,
            {
                "bicycle": {"nickname", "frame_number", "colour"},
                "household": {"name", "street", "phone_number"},
                "repair": {"description", "cost", "date", "mechanic"},
                "reservation": {"starting_date", "ending_date", "purpose"},
            },
        ),
        id="long",
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize("wanted", WANTED)
async def test_a_requirement_becomes_a_service_that_does_what_its_nouns_say(
    wanted: Wanted, open_factory: OpenFactory, tmp_path: Path
) -> None:
    async with open_factory(model="offline", pack="software") as factory:
        assert factory.announcements == ["offline model: scripted output"]
        run_id = await factory.submit(wanted.requirement, pipeline="core")
        outcome = await to_the_end(factory, run_id)
        assert outcome.status == "completed", [approval.question for approval in outcome.waiting]
        await released(factory, run_id)
        repository = (await factory.services.repository(run_id)).path

    # From here on, what anybody would do who was given the repository.
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "-q", str(repository), str(copy)], check=True, capture_output=True)
    tests = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=copy,
        capture_output=True,
        text=True,
        env=plain_environment(),
        timeout=300,
    )
    assert tests.returncode == 0, tests.stdout[-3000:]
    assert re.search(r"\d+ passed", tests.stdout)
    with service(copy) as ask:
        walk(ask, wanted.things)


def plain_environment() -> dict[str, str]:
    """An environment without anything of the factory's."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


Row = dict[str, Any]


class Ask:
    """A client of the service."""

    def __init__(self, port: int) -> None:
        self._client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def __call__(self, method: str, path: str, row: Row | None = None) -> tuple[int, Any]:
        body = None if row is None else json.dumps(row)
        self._client.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = self._client.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None

    def close(self) -> None:
        self._client.close()


@contextmanager
def service(copy: Path) -> Iterator[Ask]:
    """The service, started as its README says, but on a port that is free."""
    page = (copy / "README.md").read_text("utf-8")
    found = re.search(r"^PYTHONPATH=src python (-m \w+ --port) 8000 (--database \S+)$", page, re.M)
    assert found, page
    command = [sys.executable, "-B", *found[1].split(), "0", *found[2].split()]
    with subprocess.Popen(
        command,
        cwd=copy,
        env={**plain_environment(), "PYTHONPATH": "src"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as program:
        assert program.stdout
        ask = Ask(int(program.stdout.readline().rpartition(":")[2]))
        try:
            yield ask
        finally:
            ask.close()
            program.terminate()
            assert program.wait(10) == 0


FIRST: Row = {"text": "first", "date": "2024-01-02", "integer": 1, "number": 1.5, "boolean": True}
SECOND: Row = {"text": "second", "date": "2025-03-04", "integer": 2, "number": 2.5, "boolean": False}


def walk(ask: Ask, things: Mapping[str, set[str]]) -> None:
    """Create, list, get, update and delete a row of everything that the requirement names."""
    entities = {entity["name"]: entity for entity in ask("GET", "/api")[1]["entities"]}
    assert set(things) <= set(entities), entities.keys()
    # Who is referred to comes first, and goes last.
    order = sorted(entities, key=lambda name: len(links(entities[name])))
    made: dict[str, tuple[str, int]] = {}
    for name in order:
        entity = entities[name]
        assert things.get(name, set()) <= {field["name"] for field in entity["fields"]}
        referred = {f"{one}_id": identity for one, (_, identity) in made.items()}
        row = {field["name"]: referred.get(field["name"], FIRST[field["kind"]]) for field in entity["fields"]}
        status, created = ask("POST", entity["url"], row)
        assert (status, {**created, **row}) == (201, created)
        one = f"{entity['url']}/{created['id']}"
        made[name] = (one, created["id"])
        assert ask("GET", entity["url"])[1]["items"] == [created]
        assert ask("GET", one) == (200, created)
        change = {
            field["name"]: SECOND[field["kind"]]
            for field in entity["fields"]
            if field["name"] not in referred
        }
        assert ask("PATCH", one, change) == (200, {**created, **change})
        assert ask("GET", one) == (200, {**created, **change})
        assert ask("POST", entity["url"], {"no such field": 1})[0] == 400
    for name in reversed(order):
        one, _ = made[name]
        assert ask("DELETE", one) == (204, None)
        assert ask("GET", one)[0] == 404
        assert ask("GET", entities[name]["url"])[1]["items"] == []


def links(entity: Row) -> list[str]:
    """The fields that hold the id of another thing."""
    return [field["name"] for field in entity["fields"] if field["name"].endswith("_id")]

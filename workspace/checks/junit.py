"""Test reports in JUnit's XML. They are written by code that nobody trusts, so no document type is read, no
entity is followed, and depth, tests and text are bounded."""

from typing import Final
from xml.parsers import expat

from workspace.checks.result import one_line
from workspace.checks.suite import MOST_CASES, Outcome, Suite

_DEEPEST: Final = 50
_MOST_TEXT: Final = 400
_NAME: Final = 500
_OUTCOMES: dict[str, Outcome] = {"failure": "failed", "error": "failed", "skipped": "skipped"}


class _Refused(Exception):
    """The document is one that is not read on."""


class _Reader:
    def __init__(self) -> None:
        self.cases: dict[str, Outcome] = {}
        self.reasons: dict[str, str] = {}
        self._depth = 0
        self._suites = 0
        self._case = ""
        self._outcome: Outcome = "passed"
        self._why = ""

    @property
    def is_report(self) -> bool:
        return self._suites > 0

    def begin(self, element: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Refused(f"it is nested deeper than {_DEEPEST}")
        element = element.rpartition(":")[2]
        if element in ("testsuites", "testsuite"):
            self._suites += 1
        elif element == "testcase":
            if len(self.cases) >= MOST_CASES:
                raise _Refused(f"it has more than {MOST_CASES} tests")
            where, name = attributes.get("classname", ""), attributes.get("name", "")
            self._case = one_line(f"{where}::{name}" if where else name)[:_NAME] or "a test without a name"
            self._outcome, self._why = "passed", ""
        elif self._case and (outcome := _OUTCOMES.get(element)):
            if self._outcome != "failed":
                self._outcome = outcome
            self._why = self._why or attributes.get("message", "")[:_MOST_TEXT]

    def end(self, element: str) -> None:
        self._depth -= 1
        if element.rpartition(":")[2] != "testcase" or not self._case:
            return
        # One name may stand for several runs of a test: one that failed counts.
        if self.cases.get(self._case) != "failed":
            self.cases[self._case] = self._outcome
        if self._outcome == "failed":
            self.reasons.setdefault(self._case, one_line(self._why))
        self._case = ""

    def refuse(self, *_: object) -> int:
        raise _Refused("it declares a document type")


def read(text: str) -> Suite:
    """The suite that a report tells of; `broken` where it tells of none."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    parser.ExternalEntityRefHandler = reader.refuse
    try:
        parser.Parse(text.strip().encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        return Suite(broken=f"the JUnit report cannot be read: {one_line(str(error))}")
    except _Refused as refused:
        return Suite(broken=f"the JUnit report is refused: {refused}")
    if not reader.is_report:
        return Suite(broken="the JUnit report holds no suite of tests")
    return Suite(reader.cases, reasons=reader.reasons)

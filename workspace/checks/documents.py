"""JSON documents parse, and an OpenAPI document is one whose references resolve."""

import json
from collections import Counter
from collections.abc import Iterator
from posixpath import basename
from typing import Any, NoReturn

from core.json import is_array, is_object
from workspace.checks.result import Finding, Findings
from workspace.errors import WorkspaceError
from workspace.files import Files


def look(files: Files) -> Findings:
    """The `*.json` that are no JSON, and the OpenAPI documents that lack a part."""
    problems: list[Finding] = []
    paths = files.list("**/*.json")
    for path in paths:
        line, wrong = 1, ""
        try:
            value = json.loads(files.read(path), parse_constant=_no_number, object_pairs_hook=_once)
            problems += [Finding(path, 1, what) for what in _openapi_problems(path, value)]
        except json.JSONDecodeError as error:
            line, wrong = error.lineno, error.msg
        except ValueError as error:
            wrong = str(error)
        except RecursionError:
            wrong = "nested too deep"
        except WorkspaceError as error:
            wrong = error.what
        if wrong:
            problems.append(Finding(path, line, wrong))
    return Findings(problems, f"{len(paths)} JSON files are well formed", each=20)


def _openapi_problems(path: str, value: Any) -> Iterator[str]:
    named = basename(path).lower().startswith("openapi")
    if not is_object(value):
        if named:
            yield "is no OpenAPI document: it is not an object"
        return
    if not named and "openapi" not in value:
        return
    if not str(value.get("openapi", "")).startswith("3."):
        yield "openapi: the version of OpenAPI is missing or not 3.x"
    info = value.get("info")
    for part in ("title", "version"):
        if not is_object(info) or not isinstance(info.get(part), str) or not info[part]:
            yield f"info.{part} is missing"
    routes = value.get("paths")
    if not is_object(routes) or not routes:
        yield "paths is missing or empty"
    elif bad := [str(route) for route in routes if not str(route).startswith(("/", "x-"))]:
        yield f"paths: {', '.join(bad[:5])} must begin with /"
    for reference in sorted(set(_references(value))):
        if not _resolves(value, reference):
            yield f"$ref {reference[:120]} leads nowhere"


def _references(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if is_object(here):
            reference = here.get("$ref")
            if isinstance(reference, str):
                yield reference
            waiting.extend(here.values())
        elif is_array(here):
            waiting.extend(here)


def _resolves(document: Any, reference: str) -> bool:
    """Whether `#/a/b~1c` is in the document. References to other files count as broken."""
    if not reference.startswith("#/"):
        return reference == "#"
    here: Any = document
    for part in reference[2:].split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        if is_object(here) and part in here:
            here = here[part]
        elif is_array(here) and part.isdecimal() and int(part) < len(here):
            here = here[int(part)]
        else:
            return False
    return True


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"the field {twice[:60]!a} stands twice in one object")
    return fields

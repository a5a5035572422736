"""Every error of the factory has the status that a client can act on."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from http import HTTPStatus

import api
import core
import governance
import graph
import memory
import models
import teams
import workspace
from api.openapi import _PROBLEMS  # pyright: ignore[reportPrivateUsage]
from api.problems import document
from core.errors import FactoryError

PACKAGES = (core, models, workspace, memory, governance, teams, graph, api)
PROGRAMS = frozenset({"workspace.probe", "workspace.relay_inside", "workspace.selftest"})
"""Modules that are run, not imported."""
OURS = frozenset(
    {
        "ServiceFault",
        "Stuck",
        "ResultInvalid",
        "AdvisoriesUnreadable",
        "DumpFailed",
        "InstallFailed",
        "WorkspaceError",
        "GitFailed",
    }
)
"""Errors that no request can be to blame for, and no wait mends: the service's own fault."""


def _errors() -> list[type[FactoryError]]:
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name not in PROGRAMS and ".versions" not in module.name:
                importlib.import_module(module.name)
    names = tuple(f"{package.__name__}." for package in PACKAGES)
    return sorted(
        {
            e
            for e in _below(FactoryError)
            if e.__module__.startswith(names) and ".client." not in e.__module__
        },
        key=lambda e: e.code,
    )


def _below(kind: type[FactoryError]) -> Iterator[type[FactoryError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def test_every_error_has_a_status_that_is_documented() -> None:
    found = _errors()
    assert len(found) > 80
    unknown = {e.__name__: e.http_status for e in found if e.http_status not in _PROBLEMS}
    assert unknown == {}


def test_only_named_errors_are_the_services_own_fault() -> None:
    assert {e.__name__ for e in _errors() if e.http_status == HTTPStatus.INTERNAL_SERVER_ERROR} == OURS


def test_a_document_masks_secrets_and_holds_only_what_utf_8_can() -> None:
    told = document(FactoryError("it said \ud800 and sk-ant-api03-" + "a" * 80, todo="again"))
    assert "\\ud800" in told["detail"]
    assert "aaaa" not in told["detail"]

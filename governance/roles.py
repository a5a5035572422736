"""Who may do what: one table of roles and permissions, the same for every surface."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from core.errors import FactoryError

Role = Literal["director", "operator", "auditor", "hr"]
"""director: decides. operator: gives work and answers questions about it. auditor: reads. hr: looks after
people and teams, and sees nothing of the products."""

Permission = Literal[
    "read",
    "submit",
    "answer",
    "approve",
    "control",
    "configure",
    "roster",
    "teams",
    "users",
    "tokens",
    "audit",
    "metrics",
    "forget",
    "purge",
]

MEANINGS: Final[Mapping[Permission, str]] = MappingProxyType(
    {
        "read": "see projects, runs, events, questions, files, memories and costs",
        "submit": "start and continue runs",
        "answer": "words to a question, a comment in a review, a line for a team's memory",
        "approve": "yes or no, which opens a gate or ends a run",
        "control": "cancel, pause and roll back a run",
        "configure": "budgets, routing, model accounts, schedules and webhooks",
        "roster": "see the teams, their roles and prompts",
        "teams": "change the teams, their roles and prompts",
        "users": "see and change users; only a director makes or changes a director",
        "tokens": "make, see and revoke one's own API tokens; a director's also those of others",
        "audit": "read and verify the audit, the service's own chain included",
        "metrics": "scrape /metrics",
        "forget": "have a text forgotten",
        "purge": "remove what was archived, after its date",
    }
)
"""What each permission allows, in one line."""

_ALL: Final[frozenset[Permission]] = frozenset(get_args(Permission))

PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        "director": _ALL,
        "operator": frozenset({"read", "submit", "answer", "control", "roster", "tokens", "metrics"}),
        "auditor": frozenset({"read", "roster", "tokens", "audit", "metrics"}),
        "hr": frozenset({"roster", "teams", "users", "tokens"}),
    }
)


class NotPermitted(FactoryError):
    """The role may not do that."""

    http_status = 403
    exit_code = 2


def require(role: Role, permission: Permission) -> None:
    """Raises NotPermitted where the role lacks the permission."""
    if permission not in PERMISSIONS[role]:
        able = ", ".join(name for name, allowed in PERMISSIONS.items() if permission in allowed)
        raise NotPermitted(
            f"The role {role} may not {permission}",
            untouched="Nothing was done",
            todo=f"Roles that may: {able}",
        )

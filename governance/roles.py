"""Who may do what: one table of roles and permissions, the same for every surface."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from core.errors import FactoryError

Role = Literal["director", "operator", "auditor"]
"""director: decides. operator: gives work and answers questions about it. auditor: reads."""

Permission = Literal["read", "submit", "answer", "approve"]
"""read: see runs and questions. submit: start and continue runs. answer: words to a question, a comment in a
review. approve: yes or no, which opens a gate or ends a run."""

PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        "director": frozenset({"read", "submit", "answer", "approve"}),
        "operator": frozenset({"read", "submit", "answer"}),
        "auditor": frozenset({"read"}),
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

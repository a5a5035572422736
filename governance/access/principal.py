"""Who is calling, and what they may do here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from governance import roles
from governance.roles import NotPermitted, Permission, Role

Means = Literal["printed", "token", "session"]
"""printed: the token that the server showed its owner. token: an API token. session: a sign-in."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """What a credential is bound to, within its user's role."""

    permissions: frozenset[Permission]
    projects: frozenset[str] | None = None
    """None: all projects."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request."""

    name: str
    """What is recorded as `by`."""
    role: Role
    scopes: Scopes
    means: Means = "printed"
    credential: str = ""
    """The id of the token or session; empty for the printed token."""
    expires_at: datetime | None = None
    """When an API token ends."""

    @property
    def permissions(self) -> frozenset[Permission]:
        """What both the role and the credential allow."""
        return roles.PERMISSIONS[self.role] & self.scopes.permissions

    def may(self, permission: Permission) -> bool:
        """Whether both the role and the credential allow it."""
        return permission in self.permissions

    def require(self, permission: Permission) -> None:
        """Raises NotPermitted where the role or the credential does not allow it."""
        roles.require(self.role, permission)
        if permission not in self.scopes.permissions:
            raise NotPermitted(
                f"This token is not made for {permission!r}",
                untouched="Nothing was done",
                todo=f"It is made for: {', '.join(sorted(self.scopes.permissions))}",
            )

    def require_project(self, project: str | None) -> None:
        """Raises NotPermitted where the credential is bound to other projects; None is all of them."""
        bound = self.scopes.projects
        if bound is not None and project not in bound:
            raise NotPermitted(
                f"This token is bound to projects: {', '.join(sorted(bound))}",
                untouched="Nothing was done",
                todo="Use a token of that project, or one that is bound to none",
            )


def whole(role: Role) -> Scopes:
    """All that a role may do."""
    return Scopes(roles.PERMISSIONS[role])

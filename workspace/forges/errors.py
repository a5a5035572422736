"""What a forge can answer that is no answer."""

from workspace.errors import WorkspaceError


class ForgeError(WorkspaceError):
    """The forge did not do what was asked."""

    http_status = 502

    wait: float = 0.0
    """Seconds that the forge asks to be left alone."""


class ForgeUnauthorized(ForgeError):
    """The forge does not accept the token."""


class ForgeForbidden(ForgeError):
    """The token may not do this at the forge."""


class ForgeNotFound(ForgeError):
    """The forge knows no such repository, or does not show it to this token."""


class ForgeRefused(ForgeError):
    """The forge refuses what was asked."""


class RateLimited(ForgeError):
    """The forge takes no more requests for now."""


class ForgeUnavailable(ForgeError):
    """The forge cannot be reached, or cannot answer."""

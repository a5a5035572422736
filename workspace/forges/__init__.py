"""Forges: GitHub, GitLab and Gitea, each as the few questions that a release has to ask it."""

from workspace.forges.errors import (
    ForgeError,
    ForgeForbidden,
    ForgeNotFound,
    ForgeRefused,
    ForgeUnauthorized,
    ForgeUnavailable,
    RateLimited,
)
from workspace.forges.forge import Draft, Forge, PullRequest
from workspace.forges.opening import connect, default_branch, request
from workspace.forges.wire import Patience

__all__ = [
    "Draft",
    "Forge",
    "ForgeError",
    "ForgeForbidden",
    "ForgeNotFound",
    "ForgeRefused",
    "ForgeUnauthorized",
    "ForgeUnavailable",
    "Patience",
    "PullRequest",
    "RateLimited",
    "connect",
    "default_branch",
    "request",
]

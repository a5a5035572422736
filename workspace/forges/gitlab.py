"""GitLab: REST API version 4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from workspace.forges.forge import Draft, PullRequest, pull_request, rows, text
from workspace.forges.wire import Wire

_LONGEST_TITLE = 255
_LONGEST_BODY = 1_000_000
_STATES = {"opened": "open", "locked": "open"}


@dataclass(frozen=True)
class GitLab:
    """One project at GitLab."""

    wire: Wire
    repository: str

    @staticmethod
    def headers(token: str | None) -> Mapping[str, str]:
        """What every request carries."""
        return {"PRIVATE-TOKEN": token} if token else {}

    @property
    def _project(self) -> str:
        return f"projects/{quote(self.repository, safe='')}"

    async def default_branch(self) -> str:
        """The branch that the forge shows first."""
        return text(await self.wire.get(self._project), "default_branch")

    async def find(self, branch: str, base: str) -> list[PullRequest]:
        """The merge requests from `branch` into `base`, the newest first."""
        query = {"state": "all", "source_branch": branch, "target_branch": base, "per_page": 100}
        listed = rows(await self.wire.get(f"{self._project}/merge_requests", query))
        return [_read(row) for row in listed if text(row, "source_branch") == branch]

    async def create(self, draft: Draft) -> PullRequest:
        """Open one, in one request that is not repeated."""
        body = {
            "title": draft.title[:_LONGEST_TITLE],
            "source_branch": draft.branch,
            "target_branch": draft.base,
            "description": draft.body[:_LONGEST_BODY],
        }
        return _read(await self.wire.post(f"{self._project}/merge_requests", body))


def _read(row: Any) -> PullRequest:
    state = text(row, "state")
    return pull_request(row, "iid", "web_url", _STATES.get(state, state))

"""GitHub, and GitHub Enterprise: REST API of 2022-11-28."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from workspace.forges.forge import Draft, PullRequest, pull_request, rows, text
from workspace.forges.wire import Wire

_LONGEST_TITLE = 256
_LONGEST_BODY = 65_000


@dataclass(frozen=True)
class GitHub:
    """One repository at GitHub."""

    wire: Wire
    repository: str

    @staticmethod
    def headers(token: str | None) -> Mapping[str, str]:
        """What every request carries."""
        fixed = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        return fixed | ({"Authorization": f"Bearer {token}"} if token else {})

    async def default_branch(self) -> str:
        """The branch that the forge shows first."""
        return text(await self.wire.get(f"repos/{self.repository}"), "default_branch")

    async def find(self, branch: str, base: str) -> list[PullRequest]:
        """The pull requests from `branch` into `base`, the newest first."""
        owner = self.repository.split("/", 1)[0]
        query = {"state": "all", "head": f"{owner}:{branch}", "base": base, "per_page": 100}
        listed = rows(await self.wire.get(f"repos/{self.repository}/pulls", query))
        # A forge that does not know the filter answers with everything.
        return [_read(row) for row in listed if text(row, "head", "ref") == branch]

    async def create(self, draft: Draft) -> PullRequest:
        """Open one, in one request that is not repeated."""
        body = {
            "title": draft.title[:_LONGEST_TITLE],
            "head": draft.branch,
            "base": draft.base,
            "body": draft.body[:_LONGEST_BODY],
        }
        return _read(await self.wire.post(f"repos/{self.repository}/pulls", body))


def _read(row: Any) -> PullRequest:
    merged = isinstance(row, dict) and bool(cast(dict[str, Any], row).get("merged_at"))
    return pull_request(row, "number", "html_url", "merged" if merged else text(row, "state"))

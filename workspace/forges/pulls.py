"""What GitHub and Gitea say alike: Gitea's API was made after GitHub's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

from workspace.forges.forge import Draft, PullRequest, pull_request, text
from workspace.forges.wire import Wire

_LONGEST_BODY = 65_000


@dataclass(frozen=True)
class Pulls:
    """One repository at such a forge."""

    LONGEST_TITLE: ClassVar[int]
    MERGED: ClassVar[str]
    """The field that says of a pull request whether it was merged."""

    wire: Wire
    repository: str

    async def default_branch(self) -> str:
        """The branch that the forge shows first."""
        return text(await self.wire.get(f"repos/{self.repository}"), "default_branch")

    async def create(self, draft: Draft) -> PullRequest:
        """Open one, in one request that is not repeated."""
        body = {
            "title": draft.title[: self.LONGEST_TITLE],
            "head": draft.branch,
            "base": draft.base,
            "body": draft.body[:_LONGEST_BODY],
        }
        return self.read(await self.wire.post(f"repos/{self.repository}/pulls", body))

    def read(self, row: Any) -> PullRequest:
        """A pull request as the forge tells of it."""
        merged = isinstance(row, dict) and bool(cast(dict[str, Any], row).get(self.MERGED))
        return pull_request(row, "number", "html_url", "merged" if merged else text(row, "state"))

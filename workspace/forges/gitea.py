"""Gitea and Forgejo: REST API version 1."""

from __future__ import annotations

from collections.abc import Mapping

from workspace.forges.forge import PullRequest, rows, text
from workspace.forges.pulls import Pulls

_PAGE = 50
_MOST_PAGES = 100


class Gitea(Pulls):
    """One repository at a Gitea."""

    LONGEST_TITLE = 255
    MERGED = "merged"

    @staticmethod
    def headers(token: str | None) -> Mapping[str, str]:
        """What every request carries."""
        return {"Authorization": f"token {token}"} if token else {}

    async def find(self, branch: str, base: str) -> list[PullRequest]:
        """The pull requests from `branch` into `base`, the newest first.

        Gitea cannot be asked for a branch's, so all are looked through, the last touched first.
        """
        found: list[PullRequest] = []
        for page in range(1, _MOST_PAGES + 1):
            query = {"state": "all", "sort": "recentupdate", "limit": _PAGE, "page": page}
            listed = rows(await self.wire.get(f"repos/{self.repository}/pulls", query))
            for row in listed:
                if text(row, "head", "ref") == branch and text(row, "base", "ref") == base:
                    found.append(self.read(row))
            # A server may give smaller pages than were asked for.
            if not listed or any(one.state == "open" for one in found):
                break
        return found

"""GitHub, and GitHub Enterprise: REST API of 2022-11-28."""

from __future__ import annotations

from collections.abc import Mapping

from workspace.forges.forge import PullRequest, rows, text
from workspace.forges.pulls import Pulls


class GitHub(Pulls):
    """One repository at GitHub."""

    LONGEST_TITLE = 256
    MERGED = "merged_at"

    @staticmethod
    def headers(token: str | None) -> Mapping[str, str]:
        """What every request carries."""
        fixed = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        return fixed | ({"Authorization": f"Bearer {token}"} if token else {})

    async def find(self, branch: str, base: str) -> list[PullRequest]:
        """The pull requests from `branch` into `base`, the newest first."""
        owner = self.repository.split("/", 1)[0]
        query = {"state": "all", "head": f"{owner}:{branch}", "base": base, "per_page": 100}
        listed = rows(await self.wire.get(f"repos/{self.repository}/pulls", query))
        # A forge that does not know the filter answers with everything.
        return [self.read(row) for row in listed if text(row, "head", "ref") == branch]

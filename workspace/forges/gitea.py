"""Gitea and Forgejo: REST API version 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from workspace.forges.forge import Draft, PullRequest, pull_request, rows, text
from workspace.forges.wire import Wire

_LONGEST_TITLE = 255
_LONGEST_BODY = 65_000
_PAGE = 50
_MOST_PAGES = 100


@dataclass(frozen=True)
class Gitea:
    """One repository at a Gitea."""

    wire: Wire
    repository: str

    @staticmethod
    def headers(token: str | None) -> Mapping[str, str]:
        """What every request carries."""
        return {"Authorization": f"token {token}"} if token else {}

    async def default_branch(self) -> str:
        """The branch that the forge shows first."""
        return text(await self.wire.get(f"repos/{self.repository}"), "default_branch")

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
                    found.append(_read(row))
            # A server may give smaller pages than were asked for.
            if not listed or any(one.state == "open" for one in found):
                break
        return found

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
    merged = isinstance(row, dict) and bool(cast(dict[str, Any], row).get("merged"))
    return pull_request(row, "number", "html_url", "merged" if merged else text(row, "state"))

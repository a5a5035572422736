"""A person's decision, from whichever surface: which question is meant, and whether it still waits."""

from __future__ import annotations

from core.errors import BadInput, NotFound
from governance.approvals import Approval, Approvals, Decision
from graph.lifecycle import ENDED
from graph.runs import Runs


class RunEnded(BadInput):
    """The run has ended, and waits for no answer."""

    http_status = 409


class NoWords(BadInput):
    """This question takes no answer in words."""


async def find(approvals: Approvals, name: str) -> Approval:
    """The question of that id, or the one open question whose id begins so. Raises NotFound."""
    try:
        return await approvals.get(name)
    except NotFound:
        matching = [row for row in await approvals.pending() if row.id.startswith(name)]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise NotFound(
                f"Several open questions start with {name!r}", todo="Give more of the id"
            ) from None
        raise


async def require_waiting(runs: Runs, asked: Approval) -> None:
    """Raises RunEnded where nobody is left to hear an answer."""
    run = await runs.get(asked.run_id)
    if run.status in ENDED and asked.decision is None:
        raise RunEnded(
            f"Run {run.id} has ended ({run.status}): its questions wait for nobody",
            untouched="Nothing was recorded",
            todo=f"See how it ended with: factory show {run.id}",
        )


def in_words(approval: Approval) -> Decision:
    """The decision that words stand for in this question. Raises NoWords."""
    for wordy in ("respond", "edit"):
        if wordy in approval.allowed:
            return wordy
    raise NoWords(
        f"{approval.id} takes no answer in words, only: {', '.join(approval.allowed)}",
        untouched="The question is still open",
        todo=f"Use: factory approve {approval.id}, or factory reject {approval.id}",
    )

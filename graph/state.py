"""What travels through the graph. Everything here is JSON-plain or a LangChain message, so that a checkpoint
written by one release can be read by the next; large text lives in the workspace, never here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict  # of typing's own, pydantic makes no schema before Python 3.12

StageVerdict = Literal["pass", "fail", "skipped"]


class StageOutcome(TypedDict):
    """How one team's turn ended; what the stages after it and the summary read."""

    team: str
    round: int
    verdict: StageVerdict
    attempts: int
    commit: str | None
    files: list[str]
    facts: list[str]
    assumptions: list[str]
    confidence: int
    reason: str


def by_team(left: dict[str, StageOutcome], right: dict[str, StageOutcome]) -> dict[str, StageOutcome]:
    """Reducer: the outcome of a later round stands, whatever the order.

    A stage gives back all outcomes it was given and its own among them. Beside a stage of the same wave, it
    would put the other's outcome of an earlier round over the new one.
    """
    newer = {
        team: outcome
        for team, outcome in right.items()
        if team not in left or outcome["round"] >= left[team]["round"]
    }
    return {**left, **newer}


class Change(TypedDict):
    """What a run knows that changes what exists, instead of building it."""

    of: str
    """The run that is changed; empty where a project is."""
    history: list[str]
    """The requirements by which the project came to be as it is, the oldest first; empty for an import."""
    adopted: NotRequired[dict[str, list[str]]]
    """Globs that a team may write here beside its own, because the repository is laid out otherwise."""
    deliverables: NotRequired[dict[str, list[str]]]
    """Of a team's deliverables, those that the project has: none of them may be gone afterwards."""
    criteria: NotRequired[list[str]]
    """What the text asks for, sentence by sentence."""
    tests: NotRequired[str]
    """What the tests came to before the change; empty where they did not all pass."""


class Submission(TypedDict):
    """What a LangGraph client gives to start a run."""

    requirement: str


class RunState(TypedDict):
    """The pipeline's own state: one per run (a run's id is its LangGraph thread id)."""

    run_id: str
    requirement: str
    round: int
    comment: str
    title: NotRequired[str]
    change: NotRequired[Change | None]
    """None for a run that builds from a requirement alone."""
    skipped: dict[str, str]
    results: Annotated[dict[str, StageOutcome], by_team]
    halted: str
    """Why the run stops before its end ("rejected: …", "failed: …"); empty while it goes on."""
    sent_back: NotRequired[bool]
    """Whether a person has sent the run round again since it was last validated."""
    rollbacks: NotRequired[int]
    """How often the run was rolled back; part of the name of everything that is done since."""
    question: NotRequired[Question]
    answer: NotRequired[Answer]
    refused_at: NotRequired[str]
    """The node that had no budget left for a call, while a person is asked; it runs again after that."""
    pauses: NotRequired[int]
    """How often that was so: tells calls that are made again from the first ones."""
    target: NotRequired[ReleaseTarget | None]
    """Where the run may be released to, as a person saw it; none for a project without a remote."""
    checked: NotRequired[str]
    """The commit that was validated last: what a reviewer is shown, and all that may be released."""
    unseen: NotRequired[bool]
    """Whether the branch has moved since, so that it has to be validated and reviewed again."""
    looks: NotRequired[int]
    """How often that was so."""
    behind: NotRequired[bool]
    """Whether main has something that the run's branch has not, found at the release."""
    meetings: NotRequired[int]
    """How often main was merged into the run's branch, or tried to be: names what comes after it."""
    repairs: NotRequired[int]
    """How many of these meetings teams were given to repair."""
    merging: NotRequired[Merging | None]
    guidance: NotRequired[str]
    """What a person said about a conflict that teams could not repair."""
    taken_in: NotRequired[str]
    """The commit of main that the run's branch has taken in last."""
    taken_as: NotRequired[str]
    """The merge commit that it became on the branch: later stages begin no earlier."""
    repaired: NotRequired[list[str]]
    """The files whose conflicts with main were repaired since a person looked last."""
    review_stands: NotRequired[bool]
    """Whether the approval still covers what is to be released: nothing but a clean merge came after it."""


class Repair(TypedDict):
    """A repair objective: two changes met in the same lines, and this team is to make them one."""

    number: int
    """Which of the run's meetings with main it belongs to."""
    base: str
    """The commit with the conflict laid out: where the worktree begins."""
    standing: str
    yours: str
    files: list[str]
    story: str
    """What met what, in words for the team and for a person."""


class Group(TypedDict):
    """The files of a conflict that are one team's to repair."""

    team: str
    files: list[str]


class Merging(TypedDict):
    """A conflict between main and the run's branch while it is being repaired."""

    standing: str
    yours: str
    groups: list[Group]
    done: int
    """Groups that are repaired."""
    commit: str
    """What the repairs came to so far; empty before the first."""
    story: str


class ReleaseTarget(TypedDict):
    """What goes where in a release. Whatever of it changes has to be approved anew."""

    remote: str
    forge: str
    api: str
    repository: str
    branch: str
    base: str
    commit: str


class Question(TypedDict):
    """What a person is asked: the payload of an interrupt, whose row in `approvals` is there before it."""

    approval_id: str
    kind: str
    payload: dict[str, Any]


class Answer(TypedDict):
    """What a person decided, as recorded in `approvals`."""

    decision: str
    text: str
    by: str


class ClarificationCall(TypedDict):
    """A question of this stage to another team that still waits for the broker."""

    call_id: str
    """The tool call to answer; empty when the question came with a report instead."""
    target: str
    question: str


class TraceEntry(TypedDict):
    """One action and what came of it, as digests: enough for the loop detector, small enough to keep."""

    action: str
    observation: str
    error: str


class StageInput(TypedDict, total=False):
    """What a stage is given by the pipeline."""

    run_id: str
    requirement: str
    round: int
    comment: str
    title: str
    change: Change | None
    rollbacks: int
    skipped: dict[str, str]
    results: dict[str, StageOutcome]
    halted: str
    taken_as: str
    repair: Repair


class StageOutput(TypedDict, total=False):
    """What a stage gives back."""

    results: dict[str, StageOutcome]


class StageState(TypedDict):
    """A stage's own state; nothing but its outcome leaves it."""

    run_id: str
    requirement: str
    round: int
    comment: str
    title: NotRequired[str]
    change: NotRequired[Change | None]
    rollbacks: NotRequired[int]
    skipped: dict[str, str]
    results: Annotated[dict[str, StageOutcome], by_team]
    halted: str
    taken_as: NotRequired[str]
    repair: NotRequired[Repair]
    """Set in the stage of a repair, and in no other."""

    messages: Annotated[list[AnyMessage], add_messages]
    tree: str
    """Name of the stage's worktree."""
    head: str
    """Last snapshot: what the worktree must be when a node starts."""
    worked: float
    """Seconds that nodes have taken since the team began or a person last sent it on. Not the time that
    passed: a stage must not run out of it while a person thinks or the machine is off."""
    calls: int
    """Model calls so far: the number of the next call's idempotency key."""
    iterations: int
    """Turns of the loop in this attempt."""
    attempt: int
    reviews: int
    clarifications: int
    escalations: int
    rebases: int
    passages: int
    """Times the stage has come to the gate: tells the rulings of one attempt apart."""
    conflicts: list[str]
    """Paths that another stage has changed and that a person must decide about; empty while none are."""
    marked: list[str]
    """Files of the worktree whose conflicts were laid out: none may keep a marker line."""
    marks: list[str]
    """The two commits that the marker lines name: what stands, and the stage's own."""
    trace: list[TraceEntry]
    pending: list[ClarificationCall]
    unsupplied: NotRequired[bool]
    """Whether a dependency is refused and a person has not decided about it."""
    exhausted: str
    """Which limit was reached ("iterations: 24 of 24"); empty while none was."""
    result: dict[str, Any]
    """The TaskResult as data; empty before the report."""
    verdict: str
    reasons: list[str]
    question: Question
    answer: NotRequired[Answer]
    refused_at: NotRequired[str]
    """As in the run's state; so is the next."""
    pauses: NotRequired[int]

"""What the service sends and takes.

Made from the OpenAPI document by api/generating.py; `make client` makes it anew.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class AccountPage(TypedDict):
    """Accounts with their models, in order."""

    items: list[AccountShown]
    next: str | None


class AccountShown(TypedDict):
    """One model of one account."""

    account: str
    provider: str
    address: str
    local: bool
    model: str
    window: int
    input_price: str | None
    output_price: str | None
    capabilities: list[str]


class ApprovalPage(TypedDict):
    """Questions to people, the oldest first."""

    items: list[ApprovalShown]
    next: str | None


class ApprovalShown(TypedDict):
    """One question to a person, and its decision once there is one."""

    approval_id: str
    run_id: str
    kind: Literal["approval", "clarification", "escalation", "review", "budget", "release", "promotion"]
    team: str | None
    risk: Literal["LOW", "MEDIUM", "HIGH"]
    title: str
    question: str
    detail: dict[str, Any]
    allowed: list[Literal["approve", "edit", "reject", "respond", "expired"]]
    default_answer: str | None
    created_at: str
    expires_at: str | None
    decision: Literal["approve", "edit", "reject", "respond", "expired"] | None
    answer: str | None
    decided_by: str | None
    decided_at: str | None


class ArtifactPage(TypedDict):
    """Files of a run by their paths."""

    items: list[ArtifactShown]
    next: str | None


class ArtifactShown(TypedDict):
    """A file of a run."""

    path: str
    kind: Literal["file", "program", "link"]
    size: int
    content_type: str
    changed: bool
    etag: str


class BankList(TypedDict):
    """The banks of a project."""

    project: str
    banks: list[BankShown]


class BankShown(TypedDict):
    """What one team remembers, or all of them."""

    bank: str
    live: int
    embedders: list[str]


class BrokenShown(TypedDict):
    """The first place where a chain is not what was written."""

    run_id: str
    seq: int
    why: str
    text: str


class BudgetPage(TypedDict):
    """Budgets by their ids."""

    items: list[BudgetShown]
    next: str | None


class BudgetSettingsInput(TypedDict):
    """What may be spent on models, in US dollars; a person is asked at 90 %."""

    run: NotRequired[float | str | None]
    stage: NotRequired[float | str | None]
    project: NotRequired[float | str | None]
    teams: NotRequired[dict[str, float | str]]


class BudgetSettingsOutput(TypedDict):
    """What may be spent on models, in US dollars; a person is asked at 90 %."""

    run: str | None
    stage: str | None
    project: str | None
    teams: dict[str, str]


class BudgetShown(TypedDict):
    """One budget and how it stands. US dollars as text: exact."""

    id: str
    scope: Literal["run", "stage", "team", "project", "account", "day"]
    subject: str
    cap_usd: str
    extended_usd: str
    extensions: int
    spent_usd: str
    reserved_usd: str


class BudgetSummary(TypedDict):
    """One budget that the run is under, and how it stands. US dollars as text: exact."""

    scope: str
    subject: str
    cap_usd: str
    spent_usd: str
    reserved_usd: str
    extensions: int


class ChangeRules(TypedDict):
    """What tells that a change of what exists concerns a team; `[change]` in its file."""

    words: list[str]
    adopts: list[str]
    follows: list[str]
    mentions: bool


class ChangeWanted(TypedDict):
    """A change of what a finished run made, or of what a project holds."""

    target: str
    text: str
    pipeline: NotRequired[str | None]
    approve_all: NotRequired[bool]
    budget_usd: NotRequired[str | None]
    if_active: NotRequired[Literal["reject", "enqueue", "interrupt", "rollback"] | None]


class CheckSummary(TypedDict):
    """The outcome of one check on the merged whole."""

    name: str
    passed: bool | None
    score: int
    weight: int
    idle: bool
    summary: str
    ticks: list[TickSummary]
    details: list[str]
    before: list[str]
    artifacts: list[str]


class CheckWanted(TypedDict):
    """Whom to ask."""

    account: NotRequired[str | None]


class CheckedShown(TypedDict):
    """What came of one question."""

    account: str
    model: str
    ok: bool
    detail: str
    seconds: float


class Checks(TypedDict):
    """Who answers."""

    ok: bool
    checked: list[CheckedShown]


class ClarificationPage(TypedDict):
    """Questions of teams, the oldest first."""

    items: list[ClarificationShown]
    next: str | None


class ClarificationShown(TypedDict):
    """One question of a team to another."""

    id: str
    run_id: str
    project: str
    asker: str
    target: str
    question: str
    answer: str | None
    status: str
    reason: str | None
    depth: int
    chain: list[str]
    created_at: str
    answered_at: str | None


class CleanWanted(TypedDict):
    """What to remove."""

    run: NotRequired[str | None]
    dry_run: NotRequired[bool]


class Cleaned(TypedDict):
    """What was removed, or would be."""

    project: str
    dry_run: bool
    worktrees: list[LeftoverShown]


class ConsideredShown(TypedDict):
    """An account in the light of a call."""

    account: str
    model: str
    excluded: str
    expected_usd: float | None


class CostRow(TypedDict):
    """What one team (or alias, account …) has spent."""

    name: str
    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost_usd: str
    seconds: float


class CostsShown(TypedDict):
    """What was spent, and its sum."""

    by: Literal["team", "alias", "account", "model", "project", "day"]
    rows: list[CostRow]
    total: CostRow


class Deadlines(TypedDict):
    """Minutes that a question of each kind waits; without any it waits for as long as nobody answers."""

    approval: int | None
    clarification: int | None
    escalation: int | None
    review: int | None
    budget: int | None
    release: int | None


class DecisionWanted(TypedDict):
    """A person's decision."""

    decision: Literal["approve", "reject", "edit", "respond"]
    text: NotRequired[str | None]


class DeclaredCheck(TypedDict):
    """One entry of `[[checks]]`."""

    name: str
    command: str
    parser: Literal["exit-code", "tap", "junit", "go-test-json"]
    report: str
    weight: int
    paths: list[str]
    policy: str
    seconds: int


class DeliveryPage(TypedDict):
    """Deliveries, the newest event first."""

    items: list[DeliveryShown]
    next: str | None


class DeliveryShown(TypedDict):
    """One message, and what became of it."""

    id: str
    webhook_id: str
    event: Literal["run.ended", "approval.wanted", "budget", "incident", "protocol.run"]
    message: Any
    created_at: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    next_at: str | None
    last_at: str | None
    last_status: int | None
    last_error: str | None


class Dependencies(TypedDict):
    """Where a project's packages come from, and what of the factory's allow-list holds for it."""

    wheelhouse: str
    index: str
    hosts: list[str]
    networks: list[str]
    only: list[str] | None
    licences: list[str] | None
    denied: list[str]


class DiffShown(TypedDict):
    """What a run changed."""

    run_id: str
    base: str
    head: str
    diff: str


class EntryShown(TypedDict):
    """One entry of an alias's chain."""

    entry: str
    why_not: str


class EventPage(TypedDict):
    """Events of one run, in their order."""

    items: list[EventShown]
    next: str | None


class EventShown(TypedDict):
    """One thing that happened."""

    run_id: str
    seq: int
    at: str
    kind: str
    team: str | None
    payload: dict[str, Any]
    hash: str


class Explained(TypedDict):
    """Who is chosen for an alias, and why the others are not."""

    alias: str
    local_only: bool
    offline: bool
    chain: list[StepShown]


class Extension(TypedDict):
    """By how much to extend a budget."""

    amount_usd: str


class ForgetWanted(TypedDict):
    """Why a memory is to be forgotten."""

    reason: NotRequired[str]


class Forgot(TypedDict):
    """What is gone, and where its text still stands."""

    forgotten: list[int]
    cut: int
    kept: list[str]
    too_short: int
    still_working: list[str]


class Found(TypedDict):
    """Where a phrase stands."""

    phrase: str
    runs: int
    more: bool
    hits: list[HitShown]


class HitShown(TypedDict):
    """A place where a phrase stands."""

    run_id: str
    seq: int
    at: str
    kind: str
    team: str | None
    stage: str | None
    place: str
    line: int
    excerpt: str
    again: list[str]


Kind = Literal["fact", "experience", "decision", "directive"]


class LeaseShown(TypedDict):
    """A stage that is at work in the project now."""

    run_id: str
    stage: str
    team: str
    paths: list[str]
    files: list[str]
    expires_at: str | None


class LeftoverShown(TypedDict):
    """The worktrees that failed stages of a run left."""

    run_id: str
    status: str
    stages: list[str]
    removed: bool
    why: str


class Limits(TypedDict):
    """The bound of each loop a stage has; reaching one escalates, never loops."""

    iterations: int
    retries: int
    reviews: int
    clarifications: int
    depth: int
    repairs: int
    minutes: int
    answer_seconds: int


class LineShown(TypedDict):
    """A line of a mental model."""

    text: str
    by: str
    memories: list[int]
    forgotten: bool


class MemoriesFound(TypedDict):
    """What the banks know about something, the best first."""

    query: str
    memories: list[MemoryFound]
    degraded: list[str]


class MemoryFound(TypedDict):
    """A memory that was found, and why."""

    id: int
    bank: str
    kind: str
    text: str
    speaker: str
    at: str
    valid_from: str
    valid_to: str | None
    superseded_by: int | None
    derived_from: list[int]
    forgotten_at: str | None
    source: SourceShown
    score: float
    parts: dict[str, float]


class MemoryKept(TypedDict):
    """What became of it."""

    id: int
    bank: str
    kind: str
    text: str
    speaker: str
    at: str
    valid_from: str
    valid_to: str | None
    superseded_by: int | None
    derived_from: list[int]
    forgotten_at: str | None
    source: SourceShown
    outcome: str
    superseded: list[int]
    masked: list[str]


class MemoryPage(TypedDict):
    """Memories in the order in which they came."""

    items: list[MemoryShown]
    next: str | None


class MemorySettings(TypedDict):
    """What the project's teams remember from one run to the next."""

    enabled: bool
    model: bool
    brief_tokens: int


class MemoryShown(TypedDict):
    """A memory for programs."""

    id: int
    bank: str
    kind: str
    text: str
    speaker: str
    at: str
    valid_from: str
    valid_to: str | None
    superseded_by: int | None
    derived_from: list[int]
    forgotten_at: str | None
    source: SourceShown


class MemoryWanted(TypedDict):
    """What a team is to remember."""

    text: str
    team: NotRequired[str | None]
    shared: NotRequired[bool]
    kind: NotRequired[Literal["directive", "fact", "decision"]]


class ModelsAllowed(TypedDict):
    """Which models may be asked for the project."""

    local_only: bool


class ModelsShown(TypedDict):
    """Who answers."""

    offline: bool
    aliases: dict[str, list[EntryShown]]
    pools: dict[str, PoolShown]
    accounts: list[AccountShown]
    unusable: dict[str, str]


class Myself(TypedDict):
    """Who the caller is, and what this token is good for."""

    name: str
    role: Literal["director", "operator", "auditor", "hr"]
    means: Literal["printed", "token", "session"]
    credential: str
    permissions: list[
        Literal[
            "read",
            "submit",
            "answer",
            "approve",
            "control",
            "configure",
            "roster",
            "teams",
            "users",
            "tokens",
            "audit",
            "metrics",
            "forget",
            "purge",
        ]
    ]
    projects: list[str] | None
    expires_at: str | None


class Operative(TypedDict):
    """One role inside a team."""

    id: str
    name: str
    role: Literal["author", "reviewer", "specialist"]
    instructions: str
    alias: str


class OriginShown(TypedDict):
    """A place that a belief comes from."""

    how: str
    run_id: str
    stage: str
    seq: int
    path: str | None
    line: int | None
    text: str
    memory: int | None
    says: str | None
    told_at: int | None
    told_to: list[str]
    section: str | None


class Page(TypedDict):
    """`[page]`: how the product's page is served, for a look at it with a browser."""

    command: str
    path: str
    seconds: int


class PageDiff(TypedDict):
    """What a version changed."""

    before: int
    after: int
    diff: list[str]


class PageList(TypedDict):
    """Mental models, or versions of one."""

    pages: list[PageShown]


class PageShown(TypedDict):
    """A team's mental model: the short page of what it has learned."""

    project: str
    team: str
    version: int
    at: str | None
    by: str
    way: str
    withheld: int
    lines: list[LineShown]


class PageWanted(TypedDict):
    """A page that a person wrote."""

    text: str
    based_on: NotRequired[int | None]


class PoolShown(TypedDict):
    """A pool of accounts."""

    accounts: int
    models: list[str]
    largest_window: int


class Problem(TypedDict):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    untouched: str
    todo: str


class ProjectListed(TypedDict):
    """A project and its runs."""

    name: str
    created_at: str
    runs: int
    live: int
    last_run: str | None


class ProjectPage(TypedDict):
    """Projects by name."""

    items: list[ProjectListed]
    next: str | None


class ProjectSettings(TypedDict):
    """What is set for a project."""

    description: str
    runs_at_once: int | None
    remote: Remote | None
    models: ModelsAllowed
    budget: BudgetSettingsOutput
    deadlines: Deadlines
    memory: MemorySettings
    dependencies: Dependencies
    checks: list[DeclaredCheck]
    page: Page | None


class ProjectShown(TypedDict):
    """A project, all that is set for it, and who works in it."""

    name: str
    created_at: str
    runs: int
    live: int
    last_run: str | None
    settings: ProjectSettings
    left_out: list[str]
    leases: list[LeaseShown]


class ProjectWanted(TypedDict):
    """A project to be."""

    name: str


class PurgeWanted(TypedDict):
    """That it is meant."""

    reason: NotRequired[str]
    confirm: str


class PurgedShown(TypedDict):
    """What was removed of a run."""

    run_id: str
    kept_until: str
    texts: int
    rows: int
    worktrees: int


class ReadinessTold(TypedDict):
    """Whether the service can do its work now."""

    ready: bool
    parts: dict[str, str]


class Reasoned(TypedDict):
    """Why."""

    reason: NotRequired[str]


class Refresh(TypedDict):
    """A refresh token; it is good once."""

    refresh_token: str


class Remote(TypedDict):
    """Where a finished run is pushed, and where its pull request is opened."""

    url: str
    forge: Literal["github", "gitlab", "gitea"]
    api: str
    repository: str
    token_env: str
    branch_prefix: str
    base: str


class RollbackWanted(TypedDict):
    """Where to take a run back to."""

    stage: str


class RunPage(TypedDict):
    """Runs, the newest first."""

    items: list[RunSummary]
    next: str | None


class RunRecord(TypedDict):
    """What a run was given, and when."""

    run_id: str
    project: str
    status: Literal[
        "draft",
        "governance_analysis",
        "awaiting_approval",
        "approved",
        "rejected",
        "planning",
        "in_progress",
        "awaiting_input",
        "paused",
        "validating",
        "deployable",
        "completed",
        "failed",
        "cancelled",
    ]
    requirement: str
    pipeline: str
    model: str | None
    approve_all: bool
    by: str | None
    budget_usd: str | None
    changes: str | None
    round: int
    rollbacks: int
    created_at: str
    ended_at: str | None
    kept_until: str | None
    purged: bool


class RunSummary(TypedDict):
    """A run in one object; field by field what docs/using.md promises."""

    run_id: str
    status: str
    project: str
    by: str | None
    repository: str
    tag: str | None
    cost_usd: float
    tokens: int
    seconds: float
    stages: list[StageSummary]
    waiting_for: list[Waiting]
    failure: str | None
    pull_request: str | None
    score: int | None
    waits_behind: list[str]
    budgets: list[BudgetSummary]
    checks: list[CheckSummary]


class RunWanted(TypedDict):
    """A requirement that is to be worked on."""

    requirement: str
    project: NotRequired[str | None]
    pipeline: NotRequired[str]
    approve_all: NotRequired[bool]
    budget_usd: NotRequired[str | None]
    if_active: NotRequired[Literal["reject", "enqueue", "interrupt", "rollback"] | None]


class SchedulePage(TypedDict):
    """Schedules in the order in which they were made."""

    items: list[ScheduleShown]
    next: str | None


class ScheduleShown(TypedDict):
    """A schedule, and what became of its last time."""

    id: str
    project: str
    requirement: str
    inbox: bool
    pipeline: str
    approve_all: bool
    budget_usd: str | None
    cron: str | None
    timezone: str | None
    seconds: float | None
    next_at: str
    paused_at: str | None
    paused_by: str | None
    created_by: str
    created_at: str
    last_due: str | None
    last_run: str | None
    last_said: str | None


class ScheduleWanted(TypedDict):
    """A schedule to be: by `cron`, or every so many `seconds`."""

    project: str
    requirement: NotRequired[str]
    inbox: NotRequired[bool]
    cron: NotRequired[str | None]
    timezone: NotRequired[str | None]
    seconds: NotRequired[int | None]
    pipeline: NotRequired[str]
    approve_all: NotRequired[bool]
    budget_usd: NotRequired[str | None]


class Session(TypedDict):
    """What somebody gets who signs in."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str
    user: str
    role: Literal["director", "operator", "auditor", "hr"]


class SettingsShownInput(TypedDict):
    """What may be set through the API. Where code and tokens go, only the operator's file says."""

    description: NotRequired[str]
    models: NotRequired[ModelsAllowed]
    budget: NotRequired[BudgetSettingsInput]
    deadlines: NotRequired[Deadlines]
    memory: NotRequired[MemorySettings]


class SettingsShownOutput(TypedDict):
    """What may be set through the API. Where code and tokens go, only the operator's file says."""

    description: str
    models: ModelsAllowed
    budget: BudgetSettingsOutput
    deadlines: Deadlines
    memory: MemorySettings


class Shared(TypedDict):
    """A memory that all teams read now."""

    memory: int
    shared: int
    outcome: str


class SignIn(TypedDict):
    """A name and its password."""

    name: str
    password: str


class SourceShown(TypedDict):
    """Where a memory was read."""

    run_id: str
    seq: int
    hash: str
    stage: str
    path: str | None
    line: int | None


class StageList(TypedDict):
    """The stages of a run, in the order of the pipeline; none before the plan."""

    run_id: str
    stages: list[StageShown]


class StageShown(TypedDict):
    """How one stage goes."""

    team: str
    name: str
    wave: int
    state: Literal["waiting", "running", "asking", "done", "skipped", "failed"]
    verdict: str | None
    attempts: int
    seconds: float
    tokens: int
    cost_usd: str
    doing: str | None
    skipped_because: str | None
    started_at: str | None
    ended_at: str | None


class StageSummary(TypedDict):
    """How one stage went."""

    team: str
    verdict: str | None
    attempts: int
    seconds: float
    tokens: int
    cost_usd: float
    skipped_because: str | None


class StageWork(TypedDict):
    """What a stage was given in its last attempt, and what it handed over."""

    run_id: str
    stage: StageShown
    brief: TextShown | None
    result: Any
    files: list[TextShown]


class StepShown(TypedDict):
    """One entry of a chain, and who of it could be asked."""

    entry: str
    why_not: str
    considered: list[ConsideredShown]


class Team(TypedDict):
    """A specialised function of the factory, as its folder describes it."""

    id: str
    name: str
    purpose: str
    alias: str
    required: bool
    skip_when: str
    skip_unless: list[str]
    paths: list[str]
    deliverables: list[str]
    checks: list[str]
    tools: list[str]
    asks: list[str]
    threshold: int
    sandbox: str
    change: ChangeRules
    limits: Limits
    operatives: list[Operative]
    soul: str
    agents: str
    tools_notes: str


class TeamList(TypedDict):
    """All teams of the pack."""

    pack: str
    teams: list[TeamShown]


class TeamShown(TypedDict):
    """A team, without its texts."""

    id: str
    name: str
    purpose: str
    alias: str
    required: bool
    skip_when: str
    skip_unless: list[str]
    paths: list[str]
    deliverables: list[str]
    checks: list[str]
    tools: list[str]
    asks: list[str]
    threshold: int
    sandbox: str
    change: ChangeRules
    limits: Limits


class TextShown(TypedDict):
    """A text that the audit keeps."""

    name: str
    text: str
    note: str


class TickSummary(TypedDict):
    """One thing that a check looked at."""

    what: str
    passed: bool | None
    said: str


class Token(TypedDict):
    """An API token, without its secret."""

    id: str
    user: str
    label: str
    hint: str
    permissions: list[
        Literal[
            "read",
            "submit",
            "answer",
            "approve",
            "control",
            "configure",
            "roster",
            "teams",
            "users",
            "tokens",
            "audit",
            "metrics",
            "forget",
            "purge",
        ]
    ]
    projects: list[str] | None
    created_at: str
    created_by: str
    expires_at: str
    last_used_at: str | None
    revoked_at: str | None
    revoked_by: str | None


class TokenMade(TypedDict):
    """A new API token. The secret is shown this once."""

    token: Token
    secret: str


class TokenPage(TypedDict):
    """API tokens in the order in which they were made."""

    items: list[Token]
    next: str | None


class TokenWanted(TypedDict):
    """An API token to be."""

    label: str
    user: NotRequired[str | None]
    permissions: NotRequired[
        list[
            Literal[
                "read",
                "submit",
                "answer",
                "approve",
                "control",
                "configure",
                "roster",
                "teams",
                "users",
                "tokens",
                "audit",
                "metrics",
                "forget",
                "purge",
            ]
        ]
        | None
    ]
    projects: NotRequired[list[str] | None]
    days: NotRequired[int]


class User(TypedDict):
    """Somebody who may come in."""

    name: str
    role: Literal["director", "operator", "auditor", "hr"]
    signs_in: bool
    created_at: str
    created_by: str
    deleted_at: str | None


class UserChange(TypedDict):
    """What to change of a user; what is left out stays."""

    role: NotRequired[Literal["director", "operator", "auditor", "hr"] | None]
    password: NotRequired[str | None]


class UserPage(TypedDict):
    """Users by name."""

    items: list[User]
    next: str | None


class UserWanted(TypedDict):
    """A user to be."""

    name: str
    role: Literal["director", "operator", "auditor", "hr"]
    password: NotRequired[str | None]


class Verified(TypedDict):
    """What a walk along the chains found."""

    ok: bool
    runs: int
    events: int
    texts: int
    protected: bool
    unprotected_because: str
    broken: BrokenShown | None
    against: int | None


class Waiting(TypedDict):
    """A question that a person has not answered yet."""

    approval_id: str
    kind: str
    question: str
    answer_with: str


class WebhookMade(TypedDict):
    """A new webhook. The secret is shown this once."""

    webhook: WebhookShown
    secret: str


class WebhookPage(TypedDict):
    """Webhooks in the order in which they were added."""

    items: list[WebhookShown]
    next: str | None


class WebhookShown(TypedDict):
    """A webhook, without its secret."""

    id: str
    url: str
    events: list[Literal["run.ended", "approval.wanted", "budget", "incident", "protocol.run"]]
    project: str | None
    created_at: str
    created_by: str
    failing_since: str | None
    disabled_at: str | None
    disabled_because: str | None


class WebhookWanted(TypedDict):
    """A webhook to be."""

    url: str
    events: list[Literal["run.ended", "approval.wanted", "budget", "incident", "protocol.run"]]
    project: NotRequired[str | None]


class Why(TypedDict):
    """Where a belief comes from."""

    phrase: str
    origins: list[OriginShown]

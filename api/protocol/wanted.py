"""What clients ask for: the bodies of requests."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

StreamMode = Literal[
    "values",
    "messages",
    "messages-tuple",
    "updates",
    "events",
    "debug",
    "custom",
    "tasks",
    "checkpoints",
    "tools",
]
Strategy = Literal["reject", "enqueue", "interrupt", "rollback"]
Nodes = Literal["*"] | list[str] | None
Limit = Annotated[int, Field(ge=1, le=1000)]
Offset = Annotated[int, Field(ge=0, le=1_000_000_000)]
Json = dict[str, Any]


class Body(BaseModel):
    """A request's body. What newer clients send beside it is passed over."""

    model_config = ConfigDict(extra="ignore")


class CommandWanted(Body):
    """How to go on with a thread that waits."""

    update: Any = None
    resume: Any = None
    goto: Any = None


class RunWanted(Body):
    """A run of an assistant."""

    assistant_id: str
    input: Any = None
    command: CommandWanted | None = None
    checkpoint: Json | None = None
    checkpoint_id: str | None = None
    config: Json | None = None
    context: Json | None = None
    metadata: Json | None = None
    stream_mode: StreamMode | list[StreamMode] | None = None
    stream_subgraphs: bool = False
    stream_resumable: bool = False
    interrupt_before: Nodes = None
    interrupt_after: Nodes = None
    feedback_keys: list[str] | None = None
    webhook: str | None = None
    multitask_strategy: Strategy | None = None
    if_not_exists: Literal["create", "reject"] | None = None
    on_disconnect: Literal["cancel", "continue"] | None = None
    on_completion: Literal["delete", "keep"] | None = None
    after_seconds: Annotated[float, Field(ge=0, le=365 * 24 * 3600)] | None = None
    durability: Literal["sync", "async", "exit"] | None = None
    checkpoint_during: bool | None = None

    @property
    def modes(self) -> list[str]:
        """The stream's modes."""
        given = self.stream_mode or ["values"]
        return [given] if isinstance(given, str) else list(dict.fromkeys(given))


class ThreadWanted(Body):
    """A new thread."""

    thread_id: UUID | None = None
    metadata: Json | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None
    ttl: Json | int | float | None = None
    supersteps: list[Json] | None = None


class ThreadPatch(Body):
    """What is to be changed of a thread."""

    metadata: Json | None = None
    ttl: Json | int | float | None = None


class ThreadsMatching(Body):
    """A search of threads."""

    ids: list[UUID] | None = None
    metadata: Json | None = None
    values: Json | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[str] | None = None
    extract: dict[str, str] | None = None


class StateChange(Body):
    """Values to write to a thread's state as a node would."""

    values: Any = None
    checkpoint: Json | None = None
    checkpoint_id: str | None = None
    as_node: str | None = None


class HistoryWanted(Body):
    """Which states of a thread."""

    limit: Limit = 10
    before: Json | str | None = None
    metadata: Json | None = None
    checkpoint: Json | None = None


class CheckpointWanted(Body):
    """One state of a thread."""

    checkpoint: Json
    subgraphs: bool = False


class AssistantWanted(Body):
    """A new assistant."""

    graph_id: str
    assistant_id: UUID | None = None
    config: Json | None = None
    context: Json | None = None
    metadata: Json | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None
    name: str | None = None
    description: str | None = None


class AssistantPatch(Body):
    """What is to be changed of an assistant."""

    graph_id: str | None = None
    config: Json | None = None
    context: Json | None = None
    metadata: Json | None = None
    name: str | None = None
    description: str | None = None


class AssistantsMatching(Body):
    """A search of assistants."""

    metadata: Json | None = None
    graph_id: str | None = None
    name: str | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["assistant_id", "created_at", "updated_at", "name", "graph_id"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[str] | None = None


class VersionsMatching(Body):
    """Which versions of an assistant."""

    metadata: Json | None = None
    limit: Limit = 10
    offset: Offset = 0


class VersionChosen(Body):
    """The version that is to be in force."""

    version: int


class CronWanted(RunWanted):
    """Runs at the times of a schedule."""

    schedule: str
    timezone: str | None = None
    end_time: str | None = None
    on_run_completed: Literal["delete", "keep"] | None = None
    enabled: bool = True


class CronPatch(Body):
    """What is to be changed of a cron."""

    model_config = ConfigDict(extra="allow")

    schedule: str | None = None
    timezone: str | None = None
    end_time: str | None = None
    metadata: Json | None = None
    on_run_completed: Literal["delete", "keep"] | None = None
    enabled: bool | None = None


class CronsMatching(Body):
    """A search of crons."""

    assistant_id: str | None = None
    thread_id: UUID | None = None
    enabled: bool | None = None
    metadata: Json | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: (
        Literal[
            "cron_id", "assistant_id", "thread_id", "next_run_date", "end_time", "created_at", "updated_at"
        ]
        | None
    ) = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[str] | None = None


class ItemWanted(Body):
    """A value for the store."""

    namespace: list[str]
    key: str
    value: Json
    index: Literal[False] | list[str] | None = None
    ttl: float | None = None


class ItemNamed(Body):
    """A value of the store."""

    namespace: list[str] = []
    key: str


class ItemsMatching(Body):
    """A search of the store."""

    namespace_prefix: list[str] | None = None
    filter: Json | None = None
    limit: Limit = 10
    offset: Offset = 0
    query: str | None = None
    refresh_ttl: bool | None = None


class NamespacesMatching(Body):
    """Which namespaces of the store."""

    prefix: list[str] | None = None
    suffix: list[str] | None = None
    max_depth: Annotated[int, Field(ge=1, le=100)] | None = None
    limit: Limit = 100
    offset: Offset = 0


class RunsCancelled(Body):
    """Which runs are to be cancelled."""

    status: Literal["pending", "running", "all"] | None = None
    thread_id: UUID | None = None
    run_ids: list[UUID] | None = None


class ThreadsPruned(Body):
    """Which threads are to be forgotten, or their history."""

    thread_ids: list[UUID]
    strategy: Literal["delete", "keep_latest"] = "delete"

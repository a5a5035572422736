"""Langfuse: a generation for each model call, a session for each run, a score for each ruling.

The only module that imports `langfuse`, itself imported only where its keys are set. Its callbacks serialise
whole prompts and mask them, so they run on one thread of their own, in order, never in the event loop.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (The SDK's signatures have bare dicts and lists.)

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import threading
from collections.abc import Callable
from contextvars import Context
from functools import partial
from hashlib import sha256
from queue import Queue
from typing import Any, Final, cast
from urllib.parse import quote
from uuid import uuid4

from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from langfuse import Langfuse, propagate_attributes
from langfuse.langchain import CallbackHandler
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from core import clock, logs
from core.json import JsonValue
from core.redaction import redact, redact_copy
from models.asking import Question
from models.calls import Reply
from models.scores import Score

_log = logs.get(__name__)

FLUSH_SECONDS: Final = 5.0
"""How long a process that ends waits for the last traces to be sent."""
ADDRESS_SECONDS: Final = 5
"""How long Langfuse may think about which project the keys are of."""
MOST_WAITING: Final = 1_000
"""Calls and scores that wait for the thread; what comes on top is left out, so that memory is bounded."""
QUIET_SECONDS: Final = 300.0
"""After a line about trouble, for how long each library's logger says nothing more."""
MOST_COMMENT: Final = 2_000
"""Characters of a score's comment."""
MOST_NAME: Final = 200
"""Characters of a person's name; the SDK leaves a longer one out."""

_LOGGERS: Final = (
    "langfuse",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
)


class _Seldom(logging.Filter):
    """Lets one line through in a while: a server that is away fails with every batch."""

    def __init__(self) -> None:
        super().__init__()
        self._until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.created < self._until:
            return False
        self._until = record.created + QUIET_SECONDS
        return True


class _Asked:
    """One model call."""

    def __init__(self, owner: Traces, question: Question) -> None:
        self._owner = owner
        self._id = uuid4()
        # The SDK keeps the open span in the context. Calls of one process overlap: each has its own.
        self._context = Context()
        self._told = owner.later(partial(self._context.run, partial(self._begin, question)))

    def answered(self, reply: Reply) -> None:
        if self._told:
            self._owner.later(partial(self._context.run, partial(self._end, reply)), must=True)

    def failed(self, error: BaseException) -> None:
        if self._told:
            said = RuntimeError(redact(f"{type(error).__name__}: {error}"))
            self._owner.later(partial(self._context.run, partial(self._fail, said)), must=True)

    def _begin(self, question: Question) -> None:
        call, tags = question.call, [question.call.team, question.alias]
        wanted = question.tools if question.schema is None else ()
        # The callback takes session and tags off a chain's metadata; of a call alone it only keeps them.
        by = redact(question.by)[:MOST_NAME] or None
        with propagate_attributes(
            session_id=call.run_id, user_id=by, tags=tags, trace_name=f"{call.team}/{call.kind}"
        ):
            self._owner.handler.on_chat_model_start(
                {"name": question.alias},
                [list(question.messages)],
                run_id=self._id,
                name=f"{call.team}/{call.kind}",
                metadata={
                    "langfuse_session_id": call.run_id,
                    **({"langfuse_user_id": by} if by else {}),
                    "langfuse_tags": tags,
                    "ls_model_name": question.alias,
                    "operative": call.operative,
                    "key": call.key,
                },
                invocation_params={"tools": [convert_to_openai_tool(tool) for tool in wanted]},
            )

    def _end(self, reply: Reply) -> None:
        usage = {"prompt_tokens": reply.input_tokens, "completion_tokens": reply.output_tokens}
        result = LLMResult(
            generations=[[ChatGeneration(message=reply.message)]],
            llm_output={"model_name": reply.model, "token_usage": usage},
        )
        self._owner.handler.on_llm_end(result, run_id=self._id)

    def _fail(self, error: Exception) -> None:
        self._owner.handler.on_llm_error(error, run_id=self._id)


class Traces:
    """One Langfuse project, for all of a process. Opened once and never closed: it is flushed."""

    def __init__(self, client: Langfuse, handler: CallbackHandler) -> None:
        self._client = client
        self.handler = handler
        self._jobs: Queue[Callable[[], object]] = Queue()
        self._project_id = ""
        self._flushing: tuple[threading.Event, float] | None = None
        threading.Thread(target=self._work, name="traces", daemon=True).start()

    def asked(self, question: Question) -> _Asked:
        """Tell of a call that begins."""
        return _Asked(self, question)

    def scored(self, score: Score) -> None:
        """Tell of a ruling."""
        self.later(partial(self._score, score))

    def later(self, job: Callable[[], object], *, must: bool = False) -> bool:
        """Have the thread do it; False where too much is waiting, unless it `must`: the end of what began."""
        if not must and self._jobs.qsize() >= MOST_WAITING:
            return False
        self._jobs.put(job)
        return True

    async def address(self, session: str) -> str | None:
        """The session's page; which project the keys are of, Langfuse is asked once."""
        try:
            project = await asyncio.to_thread(self._project)
        except Exception as error:  # noqa: BLE001  (whatever a server or the SDK makes of it)
            _log.warning("Langfuse does not say whose keys they are", error=str(error))
            return None
        base = str(cast(Any, self._client)._base_url).rstrip("/")
        return f"{base}/project/{quote(project, safe='')}/sessions/{quote(session, safe='')}"

    def _project(self) -> str:
        if not self._project_id:
            limits: Any = {"timeout_in_seconds": ADDRESS_SECONDS, "max_retries": 0}
            self._project_id = str(self._client.api.projects.get(request_options=limits).data[0].id)
        return self._project_id

    async def flush(self) -> None:
        """Send what was told, within FLUSH_SECONDS; what is not sent by then is left behind, and said."""
        if self._flushing is None or self._flushing[0].is_set():
            done = threading.Event()
            self._flushing = done, clock.monotonic() + FLUSH_SECONDS
            # A thread that nothing waits for: an executor's would be joined when the process ends.
            threading.Thread(target=self._send, args=(done,), name="traces-flush", daemon=True).start()
        done, until = self._flushing
        if not await _set_by(done, until):
            _log.warning("traces left behind: Langfuse does not take them", seconds=FLUSH_SECONDS)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception as error:  # noqa: BLE001  (no trace is worth more than a line)
                _log.warning("not traced", error=str(error))
            finally:
                self._jobs.task_done()

    def _send(self, done: threading.Event) -> None:
        try:
            self._jobs.join()
            self._client.flush()
        except Exception as error:  # noqa: BLE001  (likewise)
            _log.warning("traces not sent", error=str(error))
        finally:
            done.set()

    def _score(self, score: Score) -> None:
        self._client.create_score(
            name=score.name,
            value=score.value,
            session_id=score.run_id,
            score_id=sha256(f"{score.run_id}\0{score.key}".encode()).hexdigest()[:32],
            data_type="CATEGORICAL",
            comment=redact(score.comment)[:MOST_COMMENT] or None,
            metadata=dict(score.about),
        )


async def _set_by(done: threading.Event, until: float) -> bool:
    return await asyncio.to_thread(done.wait, max(0.0, until - clock.monotonic()))


def masked(*, data: Any, **_: Any) -> JsonValue:
    """What the SDK is about to keep, as JSON without secrets; an object in it as its text."""
    return redact_copy(cast(JsonValue, json.loads(json.dumps(data, default=str, ensure_ascii=False))))


_opened: dict[tuple[str, str], Traces] = {}
_opening = threading.Lock()


def opened(public: str, secret: str) -> Traces:
    """The traces of a pair of keys, the same for as long as the process lives.

    Raises what the SDK raises for settings of its own that cannot be used.
    """
    with _opening:
        if (public, secret) not in _opened:
            _opened[public, secret] = _open(public, secret)
        return _opened[public, secret]


def _open(public: str, secret: str) -> Traces:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_Seldom())
    # A provider of its own: the process's OpenTelemetry is not Langfuse's, nor may this one wait at the end.
    provider = TracerProvider(resource=Resource.create({"service.name": "factory"}), shutdown_on_exit=False)
    client = Langfuse(public_key=public, secret_key=secret, mask=masked, tracer_provider=provider)
    # The SDK waits at the process's end for as long as a server hangs. `flush` has waited long enough.
    atexit.unregister(cast(Any, client)._resources.shutdown)
    return Traces(client, CallbackHandler(public_key=public))

"""Chainlit's data layer on our own tables and our own connections.

Its official layer for Postgres brings a second driver, an extension that the embedded server lacks, and an
update of a thread's metadata that loses writes; and it stores steps, while here those of a run are read from
the event log.
"""

# pyright: reportIncompatibleMethodOverride=false
# (Chainlit wraps its abstract methods in an untyped decorator.)

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from chainlit.context import context
from chainlit.data.base import BaseDataLayer
from chainlit.types import Feedback, PageInfo, PaginatedResponse, Pagination, ThreadDict, ThreadFilter
from chainlit.user import PersistedUser, User

from chat import queries
from chat.calling import calling, resuming
from chat.desk import Desk
from chat.feedback import Thought, record, take_back
from chat.threads import Sent, Threads
from chat.wire import iso
from core.errors import NotFound
from governance.access import Principal

_ALWAYS = "2026-01-01T00:00:00Z"
"""Since when a person is known; the page asks, and shows it nowhere."""


class Layer(BaseDataLayer):
    """What Chainlit keeps, kept by us."""

    def __init__(self, desk: Desk, threads: Threads) -> None:
        self._desk = desk
        self._threads = threads

    async def get_user(self, identifier: str) -> PersistedUser | None:
        """Who calls, if that is their name: the guard has looked them up."""
        person = calling.get()
        return _user(person) if person is not None and person.name == identifier else None

    async def create_user(self, user: User) -> PersistedUser | None:
        """Nobody is made here: people are known by their tokens."""
        return await self.get_user(user.identifier)

    async def upsert_feedback(self, feedback: Feedback) -> str:
        """Record a thumb up or down."""
        person, thread_id = await self._mine(feedback.threadId)
        thought = Thought(thread_id, feedback.forId, person.name, bool(feedback.value), feedback.comment)
        await record(self._desk.factory, self._threads, thought)
        return f"{thread_id}/{feedback.forId}"

    async def delete_feedback(self, feedback_id: str) -> bool:
        """Take it back."""
        thread_id, _, step_id = feedback_id.partition("/")
        person, _ = await self._mine(thread_id)
        await take_back(self._desk.factory, self._threads, thread_id, step_id, person.name)
        return True

    async def _mine(self, thread_id: str | None) -> tuple[Principal, str]:
        person = calling.get()
        if person is None or not thread_id or await self._threads.owner(thread_id) != person.name:
            raise NotFound("There is no such conversation of yours")
        return person, thread_id

    async def create_element(self, element: Any) -> None:
        """Keep a file that a person sent. What runs show is never stored."""
        if element.path and element.for_id and element.type != "custom":
            await self._open(element.thread_id)
            sent = Sent(str(element.id), Path(element.path), str(element.name), str(element.mime or ""))
            await self._threads.keep_file(element.thread_id, element.for_id, sent)

    async def get_element(self, thread_id: str, element_id: str) -> Any:
        """One element of a conversation."""
        shown = await self._threads.show(thread_id)
        return next((element for element in shown.elements if element["id"] == element_id), None)

    async def delete_element(self, element_id: str, thread_id: str | None = None) -> None:
        """Nothing that was sent is deleted by itself."""

    async def create_step(self, step_dict: Any) -> None:
        """Keep what a person said; what the factory says is kept before it is shown (rooms.py)."""
        if step_dict.get("type") == "user_message":
            await self._open(step_dict["threadId"])
            await self._threads.keep(step_dict["threadId"], dict(step_dict))

    async def update_step(self, step_dict: Any) -> None:
        """The same again."""
        await self.create_step(step_dict)

    async def delete_step(self, step_id: str) -> None:
        """Nothing that was said is deleted by itself."""

    async def _open(self, thread_id: str) -> None:
        user = context.session.user
        if user is not None:
            await self._threads.open(thread_id, user.identifier)

    async def get_thread_author(self, thread_id: str) -> str:
        """Whose conversation it is; empty where there is none."""
        return await self._threads.owner(thread_id) or ""

    async def delete_thread(self, thread_id: str) -> None:
        """Forget a conversation. Its runs stay."""
        async with self._desk.factory.db.pool.connection() as conn:
            await queries.delete_thread(conn, thread_id)

    async def list_threads(self, pagination: Pagination, filters: ThreadFilter) -> Any:
        """A person's conversations, a page at a time."""
        async with self._desk.factory.db.pool.connection() as conn:
            rows = await queries.threads(
                conn,
                filters.userId or "",
                before=pagination.cursor,
                words=filters.search,
                limit=pagination.first + 1,
            )
        data = [_thread(row) for row in rows[: pagination.first]]
        more = len(rows) > pagination.first
        ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
        return PaginatedResponse(PageInfo(more, *ends), cast("list[Any]", data))

    async def get_thread(self, thread_id: str) -> Any:
        """A conversation, whole."""
        row = await self._threads.row(thread_id)
        if row is None:
            return None
        shown = await self._threads.show(thread_id)
        if (resumed := resuming.get()) is not None:
            resumed.append(shown)
        whole: dict[str, Any] = {**_thread(row), "steps": shown.steps, "elements": shown.elements}
        return whole

    async def update_thread(
        self,
        thread_id: str,
        name: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | None = None,
    ) -> None:
        """Name a conversation, or keep what the page's session has set."""
        if user_id is not None:
            await self._threads.open(thread_id, user_id)
        kept = (
            None
            if metadata is None
            else {key: metadata[key] for key in ("chat_profile",) if metadata.get(key)}
        )
        await self._threads.change(thread_id, name=name, metadata=kept)

    async def build_debug_url(self) -> str:
        """There is none."""
        return ""

    async def close(self) -> None:
        """The connections are the factory's."""

    async def get_favorite_steps(self, user_id: str) -> list[Any]:
        """Switched off."""
        return []


def _user(person: Principal) -> PersistedUser:
    return PersistedUser(
        id=person.name,
        identifier=person.name,
        display_name=person.name,
        createdAt=_ALWAYS,
        metadata={"role": person.role},
    )


def _thread(row: Any) -> ThreadDict:
    return {
        "id": str(row["id"]),
        "createdAt": iso(row["updated_at"]) or "",
        "name": row["name"],
        "userId": str(row["owner"]),
        "userIdentifier": str(row["owner"]),
        "tags": [],
        "metadata": dict(row["metadata"]),
        "steps": [],
        "elements": [],
    }

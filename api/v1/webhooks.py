"""`/api/v1/webhooks`: who is told over HTTP of what happens."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response, status
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.access import Caller, may
from api.door import DoorRoute
from api.paging import After, Limit, Listing, Page
from api.service import Serving
from api.v1.wanted import Name, Wanted
from api.webhooks.hooks import Delivery, State, Webhook
from api.webhooks.topics import Topic
from core.json import parse

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=DoorRoute)

Configurer = Annotated[Caller, Depends(may("configure"))]
HookId = Annotated[Name, Path(description="A webhook's id.", examples=["hook-01kahm3x8q9c4w5e6r7t8y9z0a"])]
DeliveryId = Annotated[
    Name, Path(description="A delivery's id.", examples=["msg-01kahm3x8q9c4w5e6r7t8y9z0a"])
]


class WebhookWanted(Wanted):
    """A webhook to be."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"url": "https://hooks.example.org/factory", "events": ["run.ended"]}],
        },
    )

    url: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    """Where to send; https, on a public host."""
    events: Annotated[list[Topic], Field(min_length=1, max_length=20)]
    """What to be told of."""
    project: Name | None = None
    """Of this project only."""


class WebhookShown(BaseModel):
    """A webhook, without its secret."""

    model_config = ConfigDict(frozen=True)

    id: str
    url: str
    events: list[Topic]
    project: str | None
    created_at: datetime
    created_by: str
    failing_since: datetime | None
    """Since when nothing has arrived."""
    disabled_at: datetime | None
    disabled_because: str | None


class WebhookMade(BaseModel):
    """A new webhook. The secret is shown this once."""

    webhook: WebhookShown
    secret: str
    """What its messages are signed with, as the Standard Webhooks specification has it."""


class WebhookPage(Page[WebhookShown]):
    """Webhooks in the order in which they were added."""


class DeliveryShown(BaseModel):
    """One message, and what became of it."""

    model_config = ConfigDict(frozen=True)

    id: str
    """The header `webhook-id`: the same in each attempt."""
    webhook_id: str
    event: Topic
    message: Any
    """What is sent."""
    created_at: datetime
    state: State
    attempts: int
    next_at: datetime | None
    """When the next attempt begins, where one does."""
    last_at: datetime | None
    last_status: int | None
    last_error: str | None


class DeliveryPage(Page[DeliveryShown]):
    """Deliveries, the newest event first."""


@router.get("")
async def list_(service: Serving, _: Configurer, limit: Limit = 100, after: After = None) -> WebhookPage:
    """The webhooks, without their secrets."""
    listing = Listing("webhooks", {}, (str,))
    place = listing.read(after)
    found = await service.webhooks.list(after=place[0] if place else None, limit=limit + 1)
    shown, next_ = listing.page(found, limit, lambda hook: (hook.id,))
    return WebhookPage(items=[_shown(hook) for hook in shown], next=next_)


@router.post("", status_code=status.HTTP_201_CREATED)
async def add(wanted: WebhookWanted, service: Serving, caller: Configurer, response: Response) -> WebhookMade:
    """Add a webhook. It is told of what happens from now on, signed with a secret that is shown this once."""
    hook, secret = await service.webhooks.add(
        wanted.url, wanted.events, project=wanted.project, by=caller.name
    )
    response.headers["Cache-Control"] = "no-store"
    return WebhookMade(webhook=_shown(hook), secret=secret)


@router.get("/{webhook_id}")
async def show(webhook_id: HookId, service: Serving, _: Configurer) -> WebhookShown:
    """One webhook, without its secret."""
    return _shown(await service.webhooks.get(webhook_id))


@router.delete("/{webhook_id}", status_code=status.HTTP_204_NO_CONTENT)
async def remove(webhook_id: HookId, service: Serving, caller: Configurer) -> None:
    """Remove a webhook and its deliveries."""
    await service.webhooks.remove(webhook_id, by=caller.name)


@router.post("/{webhook_id}/enable")
async def enable(webhook_id: HookId, service: Serving, caller: Configurer) -> WebhookShown:
    """Tell a webhook again that was disabled; of what happened meanwhile it is not told."""
    return _shown(await service.webhooks.enable(webhook_id, by=caller.name))


@router.get("/{webhook_id}/deliveries")
async def deliveries(
    webhook_id: HookId,
    service: Serving,
    _: Configurer,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
    limit: Limit = 100,
    after: After = None,
) -> DeliveryPage:
    """What was sent to a webhook in the last 30 days, or is to be, the newest first."""
    listing = Listing("deliveries", {"w": webhook_id, "s": state}, (int,))
    place = listing.read(after)
    found = await service.webhooks.deliveries(
        webhook_id, state=state, before=place[0] if place else None, limit=limit + 1
    )
    shown, next_ = listing.page(found, limit, lambda delivery: (delivery.position,))
    return DeliveryPage(items=[_told(delivery) for delivery in shown], next=next_)


@router.post("/{webhook_id}/deliveries/{delivery_id}/redeliver", status_code=status.HTTP_202_ACCEPTED)
async def redeliver(
    webhook_id: HookId, delivery_id: DeliveryId, service: Serving, _: Configurer
) -> DeliveryShown:
    """Send a message again, under the same id."""
    return _told(await service.webhooks.redeliver(delivery_id, webhook=webhook_id))


def _shown(hook: Webhook) -> WebhookShown:
    return WebhookShown(
        id=hook.id,
        url=hook.url,
        events=hook.topics,
        project=hook.project,
        created_at=hook.created_at,
        created_by=hook.created_by,
        failing_since=hook.failing_since,
        disabled_at=hook.disabled_at,
        disabled_because=hook.disabled_because,
    )


def _told(delivery: Delivery) -> DeliveryShown:
    return DeliveryShown(
        id=delivery.id,
        webhook_id=delivery.webhook_id,
        event=delivery.topic,
        message=parse(delivery.body),
        created_at=delivery.created_at,
        state=delivery.state,
        attempts=delivery.attempts,
        next_at=delivery.next_at,
        last_at=delivery.last_at,
        last_status=delivery.last_status,
        last_error=delivery.last_error,
    )

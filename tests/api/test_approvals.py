"""Questions and decisions over HTTP."""

from __future__ import annotations

import asyncio

from tests.api.conftest import OpenServed
from tests.api.waiting import ASKING, asked, ended, submitted


async def test_a_question_is_listed_shown_and_decided(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await submitted(served, ASKING)
        approval = await asked(served, run_id)
        [listed] = (await served.http.get("/api/v1/approvals", params={"run": run_id})).json()["items"]
        assert listed["approval_id"] == approval
        shown = (await served.http.get(f"/api/v1/approvals/{approval}")).json()
        assert shown == listed
        assert shown["decision"] is None
        decided = await served.http.post(
            f"/api/v1/approvals/{approval}/decision", json={"decision": "approve", "text": "Fine"}
        )
        assert decided.status_code == 200, decided.text
        assert (decided.json()["answer"], decided.json()["decided_by"]) == ("Fine", "owner")
        await ended(served, run_id)
        assert (await served.http.get("/api/v1/approvals")).json() == {"items": [], "next": None}
        past = (await served.http.get("/api/v1/approvals", params={"state": "decided"})).json()["items"]
        assert [one["approval_id"] for one in past] == [approval]


async def test_two_decisions_at_one_instant_are_one(open_served: OpenServed) -> None:
    async with open_served() as served:
        approval = await asked(served, await submitted(served, ASKING))
        answers = await asyncio.gather(
            *(
                served.http.post(f"/api/v1/approvals/{approval}/decision", json={"decision": decision})
                for decision in ("approve", "reject", "approve", "reject")
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        [won] = [answer.json()["decision"] for answer in answers if answer.status_code == 200]
        shown = (await served.http.get(f"/api/v1/approvals/{approval}")).json()
        assert shown["decision"] == won


async def test_a_decision_that_the_question_does_not_allow_leaves_it_open(open_served: OpenServed) -> None:
    async with open_served() as served:
        approval = await asked(served, await submitted(served, ASKING))
        path = f"/api/v1/approvals/{approval}/decision"
        for wrong in (
            {"decision": "edit", "text": "x"},
            {"decision": "expired"},
            {"decision": "yes"},
            {},
            [],
        ):
            answer = await served.http.post(path, json=wrong)
            assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert (await served.http.get(f"/api/v1/approvals/{approval}")).json()["decision"] is None


async def test_odd_ids_are_not_found(open_served: OpenServed) -> None:
    async with open_served() as served:
        for name in ("%00", "%ff", "a%2Fb", "%27%20OR%201", "..%2f..", "\u00e4\U0001f600", "x" * 200):
            for noun in ("approvals", "clarifications", "runs", "teams"):
                answer = await served.http.get(f"/api/v1/{noun}/{name}")
                assert answer.status_code == 404, (noun, name, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"

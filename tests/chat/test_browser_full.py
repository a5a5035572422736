"""The long journeys in a real browser: `factory serve` as a process, the offline model, all teams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.chat.browser import Visit, needs_browser, opened, visit
from tests.chat.serving import served

pytestmark = [pytest.mark.slow, needs_browser]
LONG = 240_000
"""Milliseconds that seventeen teams may take on a busy machine."""


async def _answer(seen: Visit) -> None:
    """Answer what teams ask, until the review is there."""
    review = seen.cards.filter(has_text="review")
    while True:
        await expect(seen.cards.first).to_be_visible(timeout=LONG)
        if await review.count():
            return
        await seen.cards.first.get_by_role("button", name="Send answer").click()
        await expect(seen.cards.filter(has_text="clarification")).to_have_count(0, timeout=20_000)


async def test_seventeen_teams_five_reloads_a_killed_server_and_a_second_tab(
    tmp_path: Path, factory_env: Mapping[str, str]
) -> None:
    async with served(tmp_path, factory_env) as server, opened() as browser:
        seen = await visit(browser, server.url, link=server.link)
        page = seen.page
        await seen.say("A lending library: members borrow and return books")
        stages = page.locator('[data-step-type="tool"]')
        await page.wait_for_url("**/chat/thread/*")
        await page.reload()  # 1: while it is planned
        await expect(stages).to_have_count(17, timeout=LONG)
        await page.reload()  # 2: while teams work
        await expect(seen.cards).to_have_count(1, timeout=LONG)
        await page.reload()  # 3: with an open card
        await expect(seen.cards).to_have_count(1)
        await expect(seen.cards.get_by_role("heading")).to_be_in_viewport()
        await expect(stages).to_have_count(17)

        await server.kill()
        await server.start()
        await expect(page.locator("#session-error")).to_have_count(0, timeout=60_000)
        assert "/chat/thread/" in page.url
        await page.reload()  # 4: after the server was killed
        await expect(seen.cards).to_have_count(1, timeout=30_000)
        await seen.cards.get_by_role("button", name="Send answer").click()
        await expect(page.get_by_text("Answered by")).to_be_visible(timeout=20_000)
        await expect(page.get_by_text("Backend Engineering: done")).to_be_visible(timeout=LONG)
        await server.kill()  # in mid-run, with the page open: it comes back by itself
        await server.start()
        await _answer(seen)  # the run, too, goes on by itself

        second = await visit(browser, server.url, link=page.url, page=page)
        await second.cards.get_by_role("button", name="Approve").click()
        for one in (second, seen):
            await expect(one.cards).to_have_count(0, timeout=20_000)
            await expect(one.finished).to_have_count(1, timeout=60_000)
        await page.reload()  # 5: when all is over
        await expect(seen.finished).to_have_count(1, timeout=20_000)
        await expect(page.locator("[data-approval]")).to_have_count(2)
        await expect(stages).to_have_count(17)
        async with page.context.expect_page() as opening:
            await page.get_by_role("link", name="Open the result").click()
        result = await opening.value
        await expect(result.get_by_role("link", name="README.md", exact=True)).to_be_visible()
        assert seen.elsewhere | second.elsewhere == set()


async def test_who_must_sign_in_again_comes_back_to_the_conversation(
    tmp_path: Path, factory_env: Mapping[str, str]
) -> None:
    async with served(tmp_path, factory_env) as server, opened() as browser:
        seen = await visit(browser, server.url, link=server.link)
        await seen.say("A lending library: members borrow and return books")
        await seen.page.wait_for_url("**/chat/thread/*")
        thread = seen.page.url
        await seen.page.context.clear_cookies()
        await seen.page.reload()
        await seen.page.wait_for_url("**/chat/login")
        await seen.page.goto(server.link)
        await seen.page.wait_for_url(thread)
        await expect(seen.cards).to_have_count(1, timeout=LONG)


async def test_each_profile_answers(tmp_path: Path, factory_env: Mapping[str, str]) -> None:
    async with served(tmp_path, factory_env) as server, opened() as browser:
        seen = await visit(browser, server.url, link=server.link)
        page = seen.page
        await seen.pick("pipeline full", "pipeline core")
        await seen.say("A lending library: members borrow and return books")
        await _answer(seen)
        await seen.cards.get_by_role("button", name="Approve").click()
        await expect(seen.finished).to_have_count(1, timeout=LONG)

        for profile, asked, told in (
            ("Team", "Add a search for overdue loans", "A change is proposed"),
            (
                "Group",
                "Should @backend_engineering or @qa_engineering test the loans?",
                "The discussion ended",
            ),
            ("Project Q&A", "Which lending library was wanted?", "Sources"),
        ):
            await page.goto(f"{server.url}/chat/")
            await page.locator("#chat-profiles").click()
            await page.get_by_role("option", name=profile).click()
            await expect(page.locator("#chat-profiles")).to_contain_text(profile)
            await page.wait_for_selector("#chat-input")
            await expect(page.get_by_role("button", name="lending-library").first).to_be_visible()
            await seen.say(asked)
            await expect(page.get_by_text(told).first).to_be_visible(timeout=60_000)
            for theme in ("dark", "light"):
                await seen.theme(theme)
                await expect(page.get_by_text(told).first).to_be_visible(timeout=60_000)
                assert await seen.faults() == [], (profile, theme)
            await expect(page.get_by_text("stopped before it had answered")).to_have_count(0)
        assert seen.elsewhere == set()

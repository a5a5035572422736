"""The page in a real browser, with the small pack behind it."""

from __future__ import annotations

from playwright.async_api import expect

from tests.chat.browser import needs_browser, opened, visit
from tests.chat.conftest import PRINTED, OpenChat

REQUIREMENT = "Ferns <img src=http://elsewhere.invalid/x onerror=alert(1)> <script>window.bitten=1</script>"


@needs_browser
async def test_a_person_types_decides_reloads_and_sees_one_end(open_chat: OpenChat) -> None:
    async with open_chat() as chat, opened() as browser:
        seen = await visit(browser, chat.url, link=f"{chat.url}/chat?token={PRINTED}")
        await seen.pick("pipeline full", "pipeline one")
        await seen.say(REQUIREMENT)
        await expect(seen.cards).to_have_count(1, timeout=60_000)
        await expect(seen.page.get_by_text("<script>window.bitten=1</script>").first).to_be_visible()
        assert "/chat/thread/" in seen.page.url

        await seen.theme("dark")
        await expect(seen.cards).to_have_count(1)
        assert await seen.faults() == []
        await seen.theme("light")
        await expect(seen.cards).to_have_count(1)
        await expect(seen.cards.get_by_role("heading")).to_be_in_viewport()
        assert await seen.faults() == []

        second = await visit(browser, chat.url, link=seen.page.url, page=seen.page)
        await expect(second.cards).to_have_count(1)
        await second.cards.get_by_role("button", name="Reject").click()
        await expect(second.cards.get_by_role("alert")).to_contain_text("Say why")
        await second.cards.get_by_role("button", name="Approve").click()
        for one in (second, seen):
            await expect(one.cards).to_have_count(0, timeout=10_000)
            await expect(one.page.get_by_text("Approved by dora")).to_be_visible()
            await expect(one.finished).to_have_count(1, timeout=60_000)
        await seen.page.reload()
        await expect(seen.finished).to_have_count(1)
        await expect(seen.page.locator("[data-approval]")).to_have_count(1)

        assert await seen.page.evaluate("window.bitten") is None
        assert seen.elsewhere | second.elsewhere == set()
        assert seen.broken + second.broken == []

"""The pictures of the chat, taken in a browser from `factory serve --model offline`: a story of one project.

python docs/chat_pictures.py        all of docs/pictures/chat-*.png, some minutes
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' browser and server are not installed

from playwright.async_api import Browser, Page, expect

from docs.small_png import smaller
from tests.chat.browser import Visit, opened, visit
from tests.chat.serving import Server, served

PICTURES: Final = Path(__file__).parent / "pictures"
WISH: Final = "A lending library: members borrow and return books"
LONG: Final = 400_000
WIDE: Final = {"width": 1200, "height": 780}
TALL: Final = {"width": 1200, "height": 1000}
PHONE: Final = {"width": 390, "height": 780}
_NOWHERE: Final = r"""() => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode;
    const said = text.nodeValue.replace(/\/\S*\/\.factory\//g, '.factory/');
    if (said !== text.nodeValue) text.nodeValue = said;
  }
}"""
"""Where it was made is nobody's business and different everywhere."""


async def take(page: Page, name: str) -> None:
    """One picture, when nothing moves any more and no pointer is over anything."""
    await page.evaluate(_NOWHERE)
    await page.mouse.move(2, 2)
    await page.evaluate("document.fonts.ready")
    await page.wait_for_timeout(800)
    png = await page.screenshot(animations="disabled", caret="hide")
    (PICTURES / f"{name}.png").write_bytes(await asyncio.to_thread(smaller, png))
    print(f"docs/pictures/{name}.png")


async def show(seen: Visit, words: str, *, open_: bool = True) -> None:
    """Open a stage, and bring it into sight."""
    line = seen.page.get_by_role("button", name=words).first
    if open_:
        await line.click()
    await line.evaluate("line => line.scrollIntoView({block: 'start'})")


async def the_run(seen: Visit) -> None:
    """A requirement, a question on the way, the review, the end."""
    page = seen.page
    await take(page, "chat-start")
    await seen.say(WISH)
    await expect(seen.cards).to_have_count(1, timeout=LONG)
    await seen.cards.first.scroll_into_view_if_needed()
    await take(page, "chat-question")
    review = seen.cards.filter(has_text="review")
    while not await review.count():
        await seen.cards.first.get_by_role("button", name="Send answer").click()
        await expect(seen.cards.filter(has_text="clarification")).to_have_count(0, timeout=60_000)
        await expect(seen.cards.first).to_be_visible(timeout=LONG)
    await page.set_viewport_size(TALL)
    await at_card(page)
    await take(page, "chat-decision")
    await seen.theme("dark")
    await expect(review).to_be_visible()
    await at_card(page)
    await take(page, "chat-decision-dark")
    await seen.theme("light")
    await page.set_viewport_size(WIDE)
    await review.get_by_role("button", name="Approve").click()
    await expect(seen.finished).to_have_count(1, timeout=LONG)
    await page.get_by_text("Approved by").scroll_into_view_if_needed()
    await take(page, "chat-decided")
    await page.reload()
    await expect(seen.finished).to_have_count(1)
    await show(seen, "Backend Engineering")
    await page.locator(".step").first.evaluate("step => step.scrollIntoView({block: 'start'})")
    await take(page, "chat-run")


async def at_card(page: Page) -> None:
    """Bring the newest card into sight, from its top."""
    await page.locator("[data-approval]").last.evaluate("card => card.scrollIntoView({block: 'start'})")


async def the_talks(server: Server, page: Page, seen: Visit) -> None:
    """The other profiles, about the project that the run made."""
    for profile, picture, asked, told in (
        ("Team", "team", "Add a search for overdue loans", "A change is proposed"),
        (
            "Group",
            "group",
            "Should @backend_engineering or @qa_engineering test that a book is lent once?",
            "Keep this decision",
        ),
        ("Project Q&A", "questions", "Which lending library was wanted?", "Sources"),
    ):
        await page.goto(f"{server.url}/chat/")
        await page.locator("#chat-profiles").click()
        await page.get_by_role("option", name=profile).click()
        await expect(page.locator("#chat-profiles")).to_contain_text(profile)
        await expect(page.get_by_role("button", name="lending-library").first).to_be_visible()
        await seen.say(asked)
        await expect(page.get_by_text(told).first).to_be_visible(timeout=LONG)
        await expect(page.locator("#chat-submit")).to_be_visible(timeout=LONG)
        if profile != "Team":
            await page.set_viewport_size(TALL)
            await page.locator("[data-step-type=user_message]").last.evaluate(
                "said => said.scrollIntoView({block: 'start'})"
            )
        await take(page, f"chat-{picture}")


async def the_phone(browser: Browser, address: str, signed: Page) -> None:
    """The same conversation at the width of a phone, in the dark."""
    state = await signed.context.storage_state()
    context = await browser.new_context(
        viewport=PHONE, storage_state=state, device_scale_factor=2, is_mobile=True, has_touch=True
    )
    page = await context.new_page()
    await page.goto(address)
    await page.wait_for_selector("[data-approval]")
    await page.evaluate("localStorage.setItem('vite-ui-theme', 'dark')")
    await page.reload()
    await page.wait_for_selector("[data-approval]")
    await at_card(page)
    await take(page, "chat-phone")


async def main() -> int:
    """Take all of them; returns 0."""
    with tempfile.TemporaryDirectory(prefix="factory-pictures-") as home:
        async with served(Path(home), {}) as server, opened() as browser:
            seen = await visit(browser, server.url, link=server.link)
            await seen.page.set_viewport_size(WIDE)
            await the_run(seen)
            address = seen.page.url
            await the_talks(server, seen.page, seen)
            await the_phone(browser, address, seen.page)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

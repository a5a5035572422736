"""A real browser at the page: the system's Chromium, driven by Playwright, its requests watched."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to drive")

expect.set_options(timeout=30_000)  # milliseconds; a page of 5 MB of script on a busy machine

OURS = (".factory-card", ".tasklist", "#message-composer", ".step")
"""What of the page is ours, or shows what is ours."""


@dataclass
class Visit:
    """A tab of the browser."""

    page: Page
    elsewhere: set[str] = field(default_factory=set[str])
    """Hosts that were asked for something beside the server."""
    broken: list[str] = field(default_factory=list[str])
    """What the page's script did not expect."""

    @property
    def cards(self) -> Locator:
        """The questions that nobody has decided."""
        return self.page.locator('[data-approval][data-open="yes"]')

    @property
    def finished(self) -> Locator:
        """The messages that a run is over."""
        return self.page.get_by_role("heading", name="Finished")

    async def say(self, text: str) -> None:
        """Type a message and send it."""
        await self.page.locator("#chat-input").click()
        await self.page.keyboard.insert_text(text)
        # Until its socket is open the page takes no message.
        await expect(self.page.locator("#chat-submit")).to_be_enabled()
        await self.page.keyboard.press("Enter")

    async def pick(self, now: str, wanted: str) -> None:
        """Pick something beside the message."""
        await self.page.get_by_role("button", name=now).click()
        await (
            self.page.get_by_role("menuitem", name=wanted)
            .or_(self.page.get_by_role("option", name=wanted))
            .or_(self.page.get_by_role("menuitemradio", name=wanted))
            .first.click()
        )

    async def theme(self, name: str) -> None:
        """Show the page in light or dark."""
        await self.page.evaluate(f"localStorage.setItem('vite-ui-theme', '{name}')")
        await self.page.reload()

    async def faults(self) -> list[str]:
        """Critical and serious faults that axe finds in what is ours."""
        found: list[str] = []
        for part in OURS:
            if await self.page.locator(part).count():
                result: Any = await Axe().run(self.page, context=part)
                found += [
                    f"{part}: {one['id']}: {one['nodes'][0]['html'][:200]}"
                    for one in result.response["violations"]
                    if one["impact"] == "critical" or (one["impact"] == "serious" and part == ".factory-card")
                ]
        return found


@asynccontextmanager
async def opened() -> AsyncIterator[Browser]:
    """The browser."""
    async with async_playwright() as playwright:
        # Its own sandbox needs rights that containers withhold; it visits our own server only.
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


async def visit(browser: Browser, url: str, *, link: str | None = None, page: Page | None = None) -> Visit:
    """A fresh visitor, or another tab of the one whose page is given, until the page can be used."""
    context = (
        page.context
        if page is not None
        else await browser.new_context(viewport={"width": 1400, "height": 900})
    )
    seen = Visit(await context.new_page())
    home = urlsplit(url).netloc

    def asked(request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme.startswith(("http", "ws")) and parts.netloc != home:
            seen.elsewhere.add(parts.netloc)

    seen.page.on("request", asked)
    seen.page.on("pageerror", lambda error: seen.broken.append(str(error)))
    await seen.page.goto(link or url)
    await seen.page.wait_for_selector("#chat-input")
    return seen

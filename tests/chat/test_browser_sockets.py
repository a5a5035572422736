"""A browser whose sockets come through nowhere, as behind some proxies."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.chat.browser import needs_browser, opened, visit
from tests.chat.conftest import PRINTED, OpenChat

NO_SOCKETS = """
window.WebSocket = class extends window.WebSocket {
  constructor() { super("ws://127.0.0.1:9/"); }
};
"""


@pytest.mark.slow
@needs_browser
async def test_without_sockets_the_page_goes_back_to_requests(open_chat: OpenChat) -> None:
    async with open_chat() as chat, opened() as browser:
        seen = await visit(browser, chat.url, link=f"{chat.url}/chat?token={PRINTED}")
        await seen.page.add_init_script(NO_SOCKETS)
        await seen.page.reload()
        await seen.page.wait_for_function("sessionStorage.getItem('factory-requests')", timeout=60_000)
        await seen.page.wait_for_selector("#chat-input")
        await seen.pick("pipeline full", "pipeline one")
        await seen.say("A page about ferns")
        await expect(seen.cards).to_have_count(1, timeout=60_000)

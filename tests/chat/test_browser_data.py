"""What a run delivered, as a table and a plot, in a real browser."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.chat.browser import needs_browser, opened, visit
from tests.chat.conftest import PRINTED, OpenChat
from tests.chat.test_bad_input import zipped

HOSTILE = "<img src=http://elsewhere.invalid/x onerror=alert(1)>"


@pytest.mark.slow
@needs_browser
async def test_a_file_of_rows_is_shown_as_a_table_and_a_plot(open_chat: OpenChat) -> None:
    async with open_chat() as chat, opened() as browser:
        async with chat.tab() as tab:
            content = zipped(**{"a/results.csv": f"what,ms\n{HOSTILE},12\nnew,3\n", "a/broken.json": "{"})
            file = (await tab.upload("app.zip", content, "application/zip")).json()["id"]
            await tab.say("Add a page about ferns", files=[file], pipeline="one")
            card = (await tab.until(lambda tab: tab.open_cards()))[0]
            assert (await tab.decide(card["approval_id"], "approve"))["ok"]
            await tab.until(lambda tab: tab.finished())
        run = card["run_id"]
        commit = await (await chat.factory.services.repository(run)).main()
        merged = {"commit": commit, "files": ["results.csv", "broken.json"]}
        await chat.factory.events.append(run, "stage.merged", merged, team="scout")

        seen = await visit(browser, chat.url, link=f"{chat.url}/chat?token={PRINTED}")
        await seen.page.goto(f"{chat.url}/chat/thread/{tab.thread}")
        for theme in ("light", "dark"):
            await seen.theme(theme)
            data = seen.page.get_by_role("group", name="Data")
            await expect(data.get_by_role("link")).to_have_text(["broken.json", "results.csv"])
            for path in ("broken.json", "results.csv"):
                await data.locator(f'[data-file="{path}"]').get_by_role("button", name="Show").click()
            await expect(data.get_by_role("status")).to_contain_text("cannot be read")
            await expect(data.get_by_role("cell", name=HOSTILE)).to_be_visible()
            await expect(data.get_by_role("img", name="ms: from 3 to 12")).to_be_visible()
            await expect(data.locator("svg rect")).to_have_count(2)
            assert await seen.faults() == []
        assert seen.elsewhere == set()
        assert seen.broken == []

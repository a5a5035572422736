"""The way from a run to its traces."""

from __future__ import annotations

import sys

from tests.chat.conftest import OpenChat, Tab
from tests.chat.test_feedback import langfuse  # noqa: F401  (a fixture)
from tests.doubles.langfuse_server import LangfuseServer
from tests.graph.test_traces import keep_private


def _link(tab: Tab) -> str:
    return next(
        str(step["output"]) for step in tab.steps.values() if step["type"] == "run" and step["metadata"]
    )


async def _begun(tab: Tab) -> str:
    await tab.say("A page about ferns", pipeline="one")
    return str((await tab.until(lambda tab: tab.open_cards()))[0]["run_id"])


async def test_a_run_leads_to_its_session_in_langfuse(
    open_chat: OpenChat,
    langfuse: LangfuseServer,  # noqa: F811
) -> None:
    async with open_chat() as chat, chat.tab() as tab:
        run = await _begun(tab)
        async with chat.tab(thread=tab.thread) as again:
            await again.until(lambda again: again.open_cards())
            assert f"(/chat/traces/{run})" in _link(again)
        assert f"(/chat/traces/{run})" in _link(tab)
        way = await tab.http.get(f"/chat/traces/{run}")
        assert way.status_code == 303
        assert way.headers["location"] == f"{langfuse.url}/project/bench/sessions/{run}"
        unknown = await tab.http.get("/chat/traces/run-nobody")
        assert unknown.status_code == 404
        keep_private(chat.factory, (await chat.factory.services.run(run)).project)
        assert (await tab.http.get(f"/chat/traces/{run}")).status_code == 404


async def test_without_keys_there_is_no_way_and_no_other_tracing_sdk(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.tab() as tab:
        run = await _begun(tab)
        assert _link(tab) == ""
        assert (await tab.http.get(f"/chat/traces/{run}")).status_code == 404
        async with chat.signed_in("hugo") as hugo:
            assert (await hugo.get(f"/chat/traces/{run}")).status_code == 403
    assert not [name for name in sys.modules if name.startswith("traceloop")]

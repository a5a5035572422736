"""The chat's door: who comes in, from where, and to what."""

from __future__ import annotations

import httpx
import pytest
import socketio

from chat.sessions import Sessions
from tests.chat.conftest import PRINTED, OpenChat

CONTENT = [
    ("GET", "/chat/project/settings"),
    ("POST", "/chat/project/threads"),
    ("POST", "/chat/project/action"),
    ("POST", "/chat/project/file?session_id=x"),
    ("GET", "/chat/artifacts/run/0123456789/README.md"),
    ("GET", "/chat/ws/socket.io/?EIO=4&transport=polling"),
]
BEYOND = [
    ("POST", "/chat/mcp"),
    ("GET", "/chat/project/share/some-thread"),
    ("PUT", "/chat/project/thread/share"),
    ("PUT", "/chat/project/element"),
    ("POST", "/chat/auth/jwt"),
    ("GET", "/chat/auth/oauth/github"),
    ("GET", "/chat/copilot/index.js"),
    ("GET", "/chat/anything"),
]


async def test_a_wrong_token_in_the_link_opens_nothing(open_chat: OpenChat) -> None:
    async with open_chat() as chat, httpx.AsyncClient(base_url=chat.url, timeout=60) as stranger:
        answer = await stranger.get("/chat/?token=wrong")
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


async def test_the_token_is_not_left_in_the_address(open_chat: OpenChat) -> None:
    async with open_chat() as chat, httpx.AsyncClient(base_url=chat.url, timeout=60) as browser:
        answer = await browser.get(f"/chat?token={PRINTED}", follow_redirects=True)
        assert answer.url.path == "/chat/"
        assert answer.url.query == b""
        assert "httponly" in answer.history[-1].headers["set-cookie"].lower()


async def test_nobody_reaches_content_without_signing_in(open_chat: OpenChat) -> None:
    async with open_chat() as chat, httpx.AsyncClient(base_url=chat.url, timeout=60) as stranger:
        for method, path in CONTENT:
            answer = await stranger.request(method, path)
            assert answer.status_code == 401, path


async def test_what_chainlit_has_beyond_the_chat_is_not_there(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.signed_in() as http:
        for method, path in BEYOND:
            assert (await http.request(method, path)).status_code == 404, path


async def test_another_site_cannot_use_the_cookie(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.signed_in() as http:
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = await http.post("/chat/project/action", json={}, headers=headers)
            assert answer.status_code == 403
        cookie = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
        socket = socketio.AsyncClient(reconnection=False)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await socket.connect(
                chat.url,
                socketio_path="/chat/ws/socket.io",
                transports=["websocket"],
                headers={"Cookie": cookie, "Origin": "http://evil.example"},
                auth={"sessionId": "s", "clientType": "webapp"},
            )
        await socket.eio.http.close() if socket.eio.http else None


async def test_a_cookie_counts_as_long_as_what_it_stands_on(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.signed_in("otto") as http:
        assert (await http.get("/chat/user")).json()["metadata"]["role"] == "operator"
        await chat.accounts.users.change("otto", role="auditor", by="dora", as_role="director")
        assert (await http.get("/chat/user")).json()["metadata"]["role"] == "auditor"
        token = (await chat.accounts.tokens.list(user="otto"))[0]
        await chat.accounts.tokens.revoke(token.id, by="dora")
        assert (await http.get("/chat/user")).status_code == 401
        assert (await http.get("/chat/project/settings")).status_code == 401


async def test_a_password_opens_a_session_that_can_be_ended(open_chat: OpenChat) -> None:
    async with open_chat() as chat, httpx.AsyncClient(base_url=chat.url, timeout=60) as http:
        await chat.accounts.users.add("pia", "operator", password="a long enough word to keep", by="dora")
        wrong = await http.post("/chat/login", data={"username": "pia", "password": "no"})
        assert wrong.status_code == 401
        right = {"username": "pia", "password": "a long enough word to keep"}
        assert (await http.post("/chat/login", data=right)).status_code == 200
        assert (await http.get("/chat/user")).json()["identifier"] == "pia"
        await chat.accounts.users.delete("pia", by="dora")
        assert (await http.get("/chat/user")).status_code == 401


async def test_a_token_bound_to_a_project_does_not_open_the_chat(open_chat: OpenChat) -> None:
    async with open_chat() as chat, httpx.AsyncClient(base_url=chat.url, timeout=60) as http:
        user = await chat.accounts.users.add("otto", "operator", password=None, by="dora")
        _, token = await chat.accounts.tokens.issue(user, "bound", by="dora", projects=["ferns"])
        assert (await http.get("/chat/", params={"token": token})).status_code == 401


async def test_a_forged_cookie_is_worth_nothing(open_chat: OpenChat) -> None:
    async with open_chat() as chat:
        person = await chat.accounts.verify(PRINTED)
        forged = Sessions(chat.accounts, "another secret, as long as that one is").begin(person)
        async with httpx.AsyncClient(base_url=chat.url, cookies={"factory_chat": forged}, timeout=60) as http:
            assert (await http.get("/chat/user")).status_code == 401


async def test_nobody_reads_the_conversation_of_another(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.tab("dora") as mine:
        await mine.say("/status")
        await mine.until(lambda tab: tab.texts())
        async with chat.signed_in("otto") as other:
            assert (await other.get(f"/chat/project/thread/{mine.thread}")).status_code == 401
            deleted = await other.request("DELETE", "/chat/project/thread", json={"threadId": mine.thread})
            assert deleted.status_code == 401
            sent = {"feedback": {"forId": "x", "value": 1, "threadId": mine.thread}, "sessionId": "s"}
            assert (await other.put("/chat/feedback", json=sent)).status_code == 500
        assert (await mine.http.get(f"/chat/project/thread/{mine.thread}")).status_code == 200


async def test_the_page_asks_no_other_host_for_anything(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.signed_in() as http:
        page = await http.get("/chat/")
        assert "https://" not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["referrer-policy"] == "no-referrer"

"""Has Ollama refuse a chat that does not fit its window, where it would cut it and say nothing.

`truncate` and `shift` are parameters of `/api/chat` since Ollama 0.12.6, which its `ollama` package does not
know; an older server passes over them, and `window.was_cut` is all that is left.
"""

import httpx

_CHAT = "/api/chat"
_PARAMETERS = b', "truncate": false, "shift": false}'


async def refuse_cuts(request: httpx.Request) -> None:
    """An event hook of httpx: puts both parameters into the body of a chat before it is sent.

    `truncate`: the oldest messages are not dropped from a prompt that is too long. `shift`: an answer that
    reaches the window's end stops there, `done_reason` length, and does not go on without its beginning.
    """
    if request.method != "POST" or not request.url.path.endswith(_CHAT):
        return
    body = request.content.rstrip()
    if not body.endswith(b"}") or body == b"{}":
        return
    whole = body[:-1] + _PARAMETERS
    request.stream = httpx.ByteStream(whole)
    request.headers["Content-Length"] = str(len(whole))

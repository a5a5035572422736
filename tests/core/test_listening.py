"""What a listening socket gives to the servers on it."""

import asyncio
import socket

import pytest

from core.listening import listen


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0"])
async def test_an_answer_in_two_parts_does_not_wait_for_the_client_to_acknowledge_the_first(
    address: str,
) -> None:
    """asyncio turns Nagle's algorithm off only where it can see that a socket speaks TCP."""
    sent_at_once = asyncio.get_running_loop().create_future()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted: socket.socket = writer.get_extra_info("socket")
        sent_at_once.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)
        writer.close()

    listening, host, port = listen(address)
    async with await asyncio.start_server(answer, sock=listening):
        _, writer = await asyncio.open_connection(host, port)
        try:
            assert await sent_at_once
        finally:
            writer.close()
            await writer.wait_closed()

"""Runs inside the sandbox: listens on 127.0.0.1, passes every connection on to a unix socket, and becomes the
command. Standard library only, and read as text by `relay.py`: it imports nothing of the factory.

Arguments: the port, the socket, the command.
"""

import os
import socket
import sys


async def _serve(listener: socket.socket, path: str) -> None:
    import asyncio  # noqa: PLC0415  # slow to import, and the command is not to wait for it

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        outer = None
        try:
            inward, outer = await asyncio.open_unix_connection(path)
            await asyncio.gather(pump(reader, outer), pump(inward, writer))
        except OSError:
            pass  # whoever waits sees the connection closed
        finally:
            for end in (writer, outer):
                if end is not None:
                    end.close()

    server = await asyncio.start_server(relay, sock=listener)
    await server.serve_forever()


def main() -> None:
    """Serve in a process that is nobody's child, so that the command never waits for it."""
    port, path, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    if (child := os.fork()) == 0:
        if os.fork() == 0:
            import asyncio  # noqa: PLC0415

            os.setsid()
            nowhere = os.open("/dev/null", os.O_RDWR)
            for descriptor in range(3):
                os.dup2(nowhere, descriptor)
            asyncio.run(_serve(listener, path))
        os._exit(0)
    os.waitpid(child, 0)
    listener.close()
    try:
        os.execvp(words[0], words)  # noqa: S606
    except OSError as error:
        print(f"{words[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


main()

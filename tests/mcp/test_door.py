"""Where a server may listen."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from core.listening import AddressInvalid, listen
from tests.mcp.clients import HELLO, PROGRAM
from tests.mcp.conftest import environment


@pytest.mark.parametrize(
    "address", ["0.0.0.0:0", "[::]:0", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "", "192.0.2.1:0"]
)
def test_an_address_that_cannot_be_served_is_refused(address: str) -> None:
    with pytest.raises(AddressInvalid):
        listen(address)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", ":0", "0"])
def test_a_loopback_address_is_listened_on(address: str) -> None:
    listening, host, port = listen(address)
    with listening:
        assert port > 0
        assert host in ("127.0.0.1", "localhost")


def test_a_server_on_standard_input_ends_at_ctrl_c(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "mcp", "workspace"],
        env=environment(tmp_path),
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(HELLO).encode() + b"\n")
        process.stdin.flush()
        assert b"factory-workspace" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == -signal.SIGINT

"""Where a server may listen."""

import pytest

from workspace.mcp.door import AddressInvalid, listen


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

"""Where a webhook may not lead: what stands in its address, and what its name is found to be."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from api.webhooks.addresses import Addresses, UrlRefused, is_public


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/",
        "ftp://hooks.example.org/",
        "https://",
        "https://user:secret@hooks.example.org/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::10.0.0.1]/",
        "https://[2002:a00:1::]/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://hooks.example.org:0/",
        "https://hooks.example.org:99999/",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/\n",
        "https://[::1",
    ],
)
def test_an_address_that_is_not_public_is_refused_when_it_is_added(url: str) -> None:
    with pytest.raises(UrlRefused):
        Addresses().checked(url)


async def _leads_to(*addresses: str) -> Addresses:
    async def resolve(_: str, __: int) -> Sequence[str]:
        return addresses

    return Addresses(resolve=resolve)


@pytest.mark.parametrize("inside", ["10.0.0.1", "127.0.0.1", "::1", "fe80::1%eth0", "169.254.169.254"])
async def test_a_name_that_leads_inside_is_refused_when_it_is_sent_to(inside: str) -> None:
    for found in ([inside], ["93.184.215.14", inside]):
        with pytest.raises(UrlRefused, match="not on the public Internet"):
            await (await _leads_to(*found)).find("https://hooks.example.org/")


async def test_the_connection_goes_to_the_address_that_was_looked_at() -> None:
    place = await (await _leads_to("93.184.215.14")).find("https://hooks.example.org:8443/a?b=c")
    assert place.url == "https://93.184.215.14:8443/a?b=c"
    assert (place.host, place.authority) == ("hooks.example.org", "hooks.example.org:8443")


@pytest.mark.parametrize("text", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_public_addresses_are_public(text: str) -> None:
    assert is_public(ip_address(text))

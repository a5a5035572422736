"""The libraries' client objects: made when first used, at most so many kept, closed with the process.

A client costs half a millisecond to make and memory to keep, so that 5,000 accounts share a bounded number;
the connections below them belong to two pools, one that follows the environment's proxies and one, for
addresses that count as local, that does not.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import httpx
from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from models.accounts import Kind
from models.catalogue import Limits
from models.errors import ProviderMissing

_PACKAGE: dict[Kind, tuple[str, str]] = {
    "openai": ("langchain_openai", "openai"),
    "anthropic": ("langchain_anthropic", "anthropic"),
    "gemini": ("langchain_google_genai", "gemini"),
}
"""Kind -> the module to import, the extra that installs it."""


class Wire:
    """The connections to providers' servers. No redirect is followed: it could lead off this machine."""

    def __init__(self, limits: Limits) -> None:
        self.timeout = httpx.Timeout(limits.silence_seconds, connect=limits.connect_seconds)
        self._open: dict[bool, httpx.AsyncClient] = {}
        self._sync: httpx.Client | None = None

    def connections(self, *, local: bool) -> httpx.AsyncClient:
        """The connections to local addresses, or to all others."""
        if local not in self._open:
            self._open[local] = httpx.AsyncClient(
                timeout=self.timeout,
                limits=httpx.Limits(max_connections=1000, max_keepalive_connections=100),
                follow_redirects=False,
                trust_env=not local,
            )
        return self._open[local]

    def idle(self) -> httpx.Client:
        """What the libraries want to have for calls that we never make."""
        if self._sync is None:
            self._sync = httpx.Client(verify=False, trust_env=False)  # noqa: S501 (never sends anything)
        return self._sync

    async def aclose(self) -> None:
        for client in self._open.values():
            await client.aclose()
        if self._sync is not None:
            self._sync.close()


def installed(kind: Kind) -> str:
    """Why a provider's package cannot be used; empty where it can."""
    if kind not in _PACKAGE:
        return ""
    try:
        _module(kind)
    except ProviderMissing as missing:
        return str(missing)
    return ""


def _module(kind: Kind) -> Any:
    module, extra = _PACKAGE[kind]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ProviderMissing(
            f"An account needs the package {module.replace('_', '-')}, which is not installed ({error.name})",
            untouched="Nothing was sent",
            todo=f"pip install 'factory-ai[{extra}]'",
        ) from None


@dataclass(frozen=True, slots=True)
class Addressee:
    """A model at an account: who is asked, and where."""

    kind: Kind
    account: str
    model: str
    base_url: str
    key: SecretStr | None
    local: bool
    """Whether the address counts as this machine's own, which no proxy of the environment may see."""
    temperature: float | None

    @property
    def secret(self) -> SecretStr:
        """The key; a word for none where the server asks for no key, since the libraries insist on one."""
        return self.key or SecretStr("none")


class Clients:
    """LangChain's chat models, the least recently used ones dropped."""

    def __init__(self, wire: Wire, most: int) -> None:
        self.wire = wire
        self._most = most
        self._kept: OrderedDict[tuple[str, str], BaseChatModel] = OrderedDict()
        self._making = asyncio.Lock()

    async def get(self, to: Addressee) -> BaseChatModel:
        """The chat model of an account. Raises ProviderMissing."""
        known = self._kept.get((to.account, to.model))
        if known is not None:
            self._kept.move_to_end((to.account, to.model))
            return known
        async with self._making:
            # A thread: the first import takes a second.
            module = await asyncio.to_thread(_module, to.kind)
        made = _MAKE[to.kind](module, self.wire, to)
        self._kept[to.account, to.model] = made
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return made


def _openai(module: Any, wire: Wire, to: Addressee) -> BaseChatModel:
    return module.ChatOpenAI(
        model=to.model,
        base_url=to.base_url,
        api_key=to.secret,
        temperature=to.temperature,
        timeout=wire.timeout,  # without it LangChain asks for none, whatever the connections say
        max_retries=0,  # the pool tries again, elsewhere
        stream_usage=True,
        stream_chunk_timeout=None,  # silence is bounded by the connection
        use_responses_api=False,
        http_async_client=wire.connections(local=to.local),
        http_client=wire.idle(),
    )


def _anthropic(module: Any, wire: Wire, to: Addressee) -> BaseChatModel:
    return module.ChatAnthropic(
        model=to.model,
        base_url=to.base_url,
        api_key=to.secret,
        temperature=to.temperature,
        timeout=wire.timeout.read,
        max_retries=0,
    )


def _gemini(module: Any, wire: Wire, to: Addressee) -> BaseChatModel:
    return module.ChatGoogleGenerativeAI(
        model=to.model,
        base_url=to.base_url,
        google_api_key=to.secret,
        temperature=to.temperature,
        timeout=wire.timeout.read,
        max_retries=1,  # the library's word for none
    )


_MAKE: dict[Kind, Callable[..., BaseChatModel]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
}

"""Embeddings from an Ollama server: in batches, checked, and never cut without being told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Self, cast

import httpx

from core.redaction import redact
from models.catalogue import Limits
from models.embeddings.base import MOST_NUMBERS, EmbeddingFailed, Vector, normalised
from models.server import http_options

if TYPE_CHECKING:
    from langchain_ollama import OllamaEmbeddings

_BATCH: Final = 64
"""Texts in one request."""
_LARGEST: Final = 1e100
"""Of a vector's numbers: the square of a larger one is soon no number any more."""

# What a family of models was trained to see before a text; without it, its vectors are worse.
# (nomic-embed-text: the model's own card; mxbai-embed-large likewise, for queries only.)
_PREFIXES: Final[dict[str, tuple[str, str]]] = {
    "nomic-embed-text": ("search_document: ", "search_query: "),
    "mxbai-embed-large": ("", "Represent this sentence for searching relevant passages: "),
}


class OllamaEmbedder:
    """One embedding model of one Ollama server. Make it with `connect`, which learns its dimension."""

    def __init__(self, client: OllamaEmbeddings, model: str, url: str, longest: int) -> None:
        self._client = client
        self._model = model
        self._url = redact(url)
        self._longest = longest
        self._document, self._query = _PREFIXES.get(model.partition(":")[0].rpartition("/")[2], ("", ""))
        self.name: Final = f"ollama/{model}"
        self.dimension = 0

    @classmethod
    async def connect(cls, url: str, model: str, *, num_ctx: int, limits: Limits) -> Self:
        """The embedder, after one try. Raises EmbeddingFailed.

        Of a text, what fits `num_ctx` tokens counts: the rest would be cut by the server without a word.
        """
        # Late: the client takes more than a second to import, which a run without Ollama need not pay.
        from langchain_ollama import OllamaEmbeddings  # noqa: PLC0415

        client = OllamaEmbeddings(
            model=model, base_url=url, num_ctx=num_ctx, client_kwargs=http_options(url, limits)
        )
        embedder = cls(client, model, url, int(num_ctx * limits.bytes_per_token))
        embedder.dimension = len((await embedder._embed(["dimension"]))[0])
        if embedder.dimension > MOST_NUMBERS:
            raise EmbeddingFailed(
                f"{model} gives vectors of {embedder.dimension} numbers, and the most is {MOST_NUMBERS}",
                untouched="Nothing was embedded",
                todo="Name a smaller model in `local/embed`",
            )
        return embedder

    async def documents(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text, `_BATCH` texts a request. Raises EmbeddingFailed."""
        vectors: list[Vector] = []
        for start in range(0, len(texts), _BATCH):
            batch = [self._document + self._cut(text) for text in texts[start : start + _BATCH]]
            vectors += await self._embed(batch)
        return vectors

    async def query(self, text: str) -> Vector:
        """The vector of what is looked for. Raises EmbeddingFailed."""
        return (await self._embed([self._query + self._cut(text)]))[0]

    def _cut(self, text: str) -> str:
        # Ollama refuses an empty text, and a memory may be one blank line.
        whole = text if text.strip() else "-"
        return whole.encode()[: self._longest].decode(errors="ignore")

    async def _embed(self, texts: list[str]) -> list[Vector]:
        from ollama import ResponseError  # noqa: PLC0415

        try:
            answered = cast("list[list[Any]]", await self._client.aembed_documents(texts))
        except (ResponseError, httpx.HTTPError, ConnectionError, ValueError, TypeError, KeyError) as error:
            raise self._failure(redact(str(error)) or type(error).__name__) from None
        if len(answered) != len(texts):
            raise self._failure(f"{len(answered)} vectors came back for {len(texts)} texts")
        for numbers in answered:
            if not numbers or (self.dimension and len(numbers) != self.dimension):
                raise self._failure(f"a vector has {len(numbers)} numbers in place of {self.dimension}")
            if not all(isinstance(number, (int, float)) and abs(number) < _LARGEST for number in numbers):
                raise self._failure("a vector holds what is no number, or one too large")
        return [normalised(numbers) for numbers in answered]

    def _failure(self, why: str) -> EmbeddingFailed:
        return EmbeddingFailed(
            f"{self._model} at {self._url} gave no embedding: {why}",
            untouched="Nothing was stored",
            todo=f"Look at Ollama's log, or try `ollama pull {self._model}`",
        )

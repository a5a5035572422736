"""Which embedder is used: the first model of `local/embed` that Ollama has, else the one without a model."""

from __future__ import annotations

from core import logs
from core.database import Database
from models.catalogue import EMBED_ALIAS
from models.chains import Chains
from models.embeddings.base import Embedder, EmbeddingFailed
from models.embeddings.cache import CachedEmbedder
from models.embeddings.local import LocalEmbedder
from models.embeddings.ollama import OllamaEmbedder
from models.routing.pool import AccountPool

_log = logs.get(__name__)


async def choose(chains: Chains, db: Database | None, *, project: str | None, local_only: bool) -> Embedder:
    """The embedder of a project, tried once; the log says which, and why a better one was passed over.

    Never fails: without Ollama, and where its model does not answer, texts are hashed on this machine.
    """
    passed_over: dict[str, str] = {}
    for entry in chains.entries(project)[EMBED_ALIAS]:
        candidate, why = chains.candidate(entry, local_only=local_only)
        if candidate is None or isinstance(candidate, AccountPool) or chains.server is None:
            passed_over[entry] = why or "accounts give no embeddings"
            continue
        try:
            found = await OllamaEmbedder.connect(
                chains.server.url, entry, num_ctx=candidate.spec.num_ctx, limits=chains.catalogue.limits
            )
        except EmbeddingFailed as failure:
            passed_over[entry] = str(failure)
            continue
        _log.info("embeddings.chosen", embedder=found.name, dimension=found.dimension)
        return found if db is None else CachedEmbedder(found, db)
    embedder = LocalEmbedder()
    # Silence is for those who have no Ollama at all; who has one is told what is missing.
    tell = _log.info if chains.server is None else _log.warning
    tell("embeddings.chosen", embedder=embedder.name, dimension=embedder.dimension, passed_over=passed_over)
    return embedder

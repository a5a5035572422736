"""Texts as vectors: from Ollama where it answers, else from a function that needs no model."""

from models.embeddings.base import Embedder, EmbeddingFailed, Vector
from models.embeddings.local import LocalEmbedder

__all__ = ["Embedder", "EmbeddingFailed", "LocalEmbedder", "Vector"]

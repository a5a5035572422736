"""mem0's own search over conversations: JSON in, for each question the ten best turns out.

Run by `benchmarks/recall_locomo.py` with the interpreter of an environment that has mem0ai and psycopg.
In: {"database": conninfo of a database with pgvector, "dimension": …, "texts": [...], "vectors": one for each
text, "conversations": [{"turns": [text, …], "questions": [text, …]}]}. mem0 gets these vectors for these
texts, keeps each turn as it is (`infer=False`), a `user_id` for each conversation, and searches with its
defaults but for two, in its favour: no threshold below which it drops hits, and no approximate index, whose
candidates for one conversation among others would be too few.
"""

# The environment that this runs in is not the project's, so its libraries are not known here.
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUntypedBaseClass=false, reportMissingTypeStubs=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any

os.environ["MEM0_TELEMETRY"] = "False"
os.environ["MEM0_DIR"] = tempfile.mkdtemp()
os.environ["OPENAI_API_KEY"] = "none"  # its constructor wants one; nobody is asked

from mem0 import Memory


class Known:
    """An embedder, as mem0 knows one, of texts whose vectors are known."""

    def __init__(self, texts: list[str], vectors: list[list[float]]) -> None:
        # mem0 trims what it is asked.
        self._vectors = {text.strip(): vector for text, vector in zip(texts, vectors, strict=True)}

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        """The text's vector."""
        return self._vectors[text.strip()]

    def embed_batch(self, texts: list[str], memory_action: str | None = None) -> list[list[float]]:
        """The same, of several."""
        return [self.embed(text) for text in texts]


def main() -> None:
    """Answer one request."""
    asked: dict[str, Any] = json.load(sys.stdin)
    dimension = int(asked["dimension"])
    memory = Memory.from_config(
        {
            "vector_store": {
                "provider": "pgvector",
                "config": {
                    "connection_string": asked["database"],
                    "collection_name": "locomo",
                    "embedding_model_dims": dimension,
                    "hnsw": False,
                },
            },
            "embedder": {"provider": "openai", "config": {"embedding_dims": dimension}},
            "history_db_path": ":memory:",
        }
    )
    memory.embedding_model = Known(asked["texts"], asked["vectors"])
    found: list[list[list[int]]] = []
    for place, conversation in enumerate(asked["conversations"]):
        user = f"conversation-{place}"
        for number, turn in enumerate(conversation["turns"]):
            said = [{"role": "user", "content": turn}]
            memory.add(said, user_id=user, metadata={"turn": number}, infer=False)
        found.append([_search(memory, user, question) for question in conversation["questions"]])
    json.dump(found, sys.stdout)


def _search(memory: Any, user: str, question: str) -> list[int]:
    answered = memory.search(question, filters={"user_id": user}, top_k=10, threshold=0.0)
    return [int(one["metadata"]["turn"]) for one in answered["results"]]


if __name__ == "__main__":
    main()

"""mem0 with everything of its own taken away but the extraction. Import it through `model.py` only."""

# mem0 has no types, and its constructor makes what is not wanted here: a store, a file, an embedder.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUntypedBaseClass=false
# pyright: reportMissingParameterType=false, reportIncompatibleVariableOverride=false
# pyright: reportIncompatibleMethodOverride=false, reportMissingSuperCall=false

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

os.environ["MEM0_TELEMETRY"] = "False"  # read once, when mem0 is imported: whoever imports this, it is off

from mem0.embeddings.base import EmbeddingBase
from mem0.llms.base import LLMBase
from mem0.memory.main import Memory
from mem0.memory.storage import SQLiteManager
from mem0.utils import spacy_models
from mem0.vector_stores.base import VectorStoreBase

# Where spaCy happens to be installed, mem0 would fetch a model for it from the network.
spacy_models._load_failed_full = True  # pyright: ignore[reportPrivateUsage]
spacy_models._load_failed_lemma = True  # pyright: ignore[reportPrivateUsage]


class _Asked(LLMBase):
    """Our model, as mem0 knows one."""

    def __init__(self, reply: Callable[[str], str]) -> None:
        super().__init__()
        self._reply = reply

    def generate_response(self, messages: Any, tools: Any = None, tool_choice: str = "auto", **_: Any) -> str:
        """The reply to mem0's prompt; its system prompt is left out."""
        return self._reply(next(str(each["content"]) for each in messages if each["role"] == "user"))


class _Unembedded(EmbeddingBase):
    """Gives one vector to every text: nothing is ever searched by it."""

    def embed(self, text: Any, memory_action: Any = None) -> list[float]:
        return [1.0]


class _Unkept(VectorStoreBase):
    """A store in which nothing stays."""

    def create_col(self, name: Any, vector_size: Any, distance: Any) -> None: ...
    def insert(self, vectors: Any, payloads: Any = None, ids: Any = None) -> None: ...
    def search(self, query: Any, vectors: Any, top_k: Any = 5, filters: Any = None) -> list[Any]:
        return []

    def delete(self, vector_id: Any) -> None: ...
    def update(self, vector_id: Any, vector: Any = None, payload: Any = None) -> None: ...
    def get(self, vector_id: Any) -> None: ...
    def list_cols(self) -> list[Any]:
        return []

    def delete_col(self) -> None: ...
    def col_info(self) -> dict[str, Any]:
        return {}

    def list(self, filters: Any = None, top_k: Any = None) -> list[Any]:
        return []

    def reset(self) -> None: ...
    def keyword_search(self, query: Any, top_k: Any = 5, filters: Any = None) -> list[Any]:
        return []


class _Extractor(Memory):
    def __init__(self, reply: Callable[[str], str], rules: str) -> None:
        # In the place of Memory's own, which opens a store and a file and asks for a key.
        self.config = SimpleNamespace(llm=SimpleNamespace(config={}))
        self.embedding_model = _Unembedded()
        self.vector_store = _Unkept()
        self.llm = _Asked(reply)
        self.db = SQLiteManager(":memory:")
        self.collection_name = ""
        self.api_version = "v1.1"
        self.custom_instructions = rules
        self.reranker = None
        self._entity_store = _Unkept()


def run(text: str, reply: Callable[[str], str], rules: str, session: str) -> list[str]:
    """The memories that mem0 takes from `text`. Blocks; `reply` answers its one question."""
    extractor = _Extractor(reply, rules)
    try:
        added: Any = extractor.add(
            [{"role": "assistant", "content": text}], agent_id="factory", run_id=session
        )
        return [str(one["memory"]) for one in added["results"]]
    finally:
        extractor.close()

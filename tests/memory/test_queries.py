"""What the statements of memory know of the database: its own tables, the audit's, and what is offered."""

from __future__ import annotations

import re
from pathlib import Path

import memory

_OWN = {"banks", "spaces", "postings", "terms", "additions", "taken_back", "mental_models"}
_OF_CORE = {"events", "event_texts", "run_heads", "audit_indexed", "audit_words"}
_OF_MODELS = {"model_calls"}
_OFFERED = {"open_runs"}
"""By graph, which drives runs: as a view, so that how a run is kept stays its own."""


def test_memory_reads_no_table_of_a_package_above_it() -> None:
    sources = [file.read_text(encoding="utf-8") for file in Path(str(memory.__file__)).parent.rglob("*.py")]
    tables = r"(?:FROM|JOIN|INTO|UPDATE)\s+(?:factory\.)([a-z_]+)(?!\w*\()"
    named = {name for source in sources for name in re.findall(tables, source)}
    assert named - {"memories_", "vectors_"} == _OWN | _OF_CORE | _OF_MODELS | _OFFERED

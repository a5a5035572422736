"""What is measured and not part of the project: mem0 and MiniLM's vectors, in an environment of their own.

FACTORY_BENCH_PYTHON names the interpreter of that environment; without it, neither is measured. In it:

    python -m venv ELSEWHERE
    ELSEWHERE/bin/pip install mem0ai==2.2.1 "psycopg[binary,pool]"     # mem0
    ELSEWHERE/bin/pip install sentence-transformers                    # MiniLM; takes some gigabytes

FACTORY_BENCH_MINILM names the folder of sentence-transformers' all-MiniLM-L6-v2, or a package installed there
that carries it. Nothing is fetched: the models' hub is switched off.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from core.postgres import EmbeddedPostgres
from models.embeddings.base import Vector

_HERE = Path(__file__).parent / "elsewhere"
_MEM0_DATABASE = "mem0"


class KnownVectors:
    """An embedder of texts whose vectors are known."""

    def __init__(self, name: str, vectors: Mapping[str, Vector]) -> None:
        self.name = name
        self.dimension = len(next(iter(vectors.values())))
        self._vectors = vectors

    async def documents(self, texts: Sequence[str]) -> list[Vector]:
        """Their vectors."""
        return [self._vectors[text] for text in texts]

    async def query(self, text: str) -> Vector:
        """Its vector."""
        return self._vectors[text]


def has_mem0() -> bool:
    """Whether mem0 can be measured; where it cannot, that is said."""
    python = os.environ.get("FACTORY_BENCH_PYTHON")
    there = python is not None and subprocess.run([python, "-c", _LOOK], check=False).returncode == 0
    if not there:
        _say("mem0 is not measured: FACTORY_BENCH_PYTHON names no interpreter that has it")
    return there


_LOOK = (
    "import importlib.util as u, sys; sys.exit(u.find_spec('mem0') is None or u.find_spec('psycopg') is None)"
)


def minilm(texts: Sequence[str]) -> KnownVectors | None:
    """MiniLM's vectors of these texts; None where it is not installed, which is said."""
    model = os.environ.get("FACTORY_BENCH_MINILM")
    if model is None or "FACTORY_BENCH_PYTHON" not in os.environ:
        _say("MiniLM is not measured: FACTORY_BENCH_MINILM and FACTORY_BENCH_PYTHON name none")
        return None
    vectors = _asked("embed.py", {"model": model, "texts": list(texts)})
    return KnownVectors("minilm", {text: tuple(vector) for text, vector in zip(texts, vectors, strict=True)})


def mem0(
    home: Path, talks: Sequence[tuple[Sequence[str], Sequence[str]]], vectors: Mapping[str, Vector]
) -> list[list[list[int]]]:
    """For each question of each conversation (turns, questions), the ten turns that mem0 finds first."""
    postgres = EmbeddedPostgres.acquire(home)
    try:
        with psycopg.connect(postgres.conninfo("admin"), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {_MEM0_DATABASE}")
            admin.execute(f"CREATE DATABASE {_MEM0_DATABASE}")
        asked = {
            "database": postgres.conninfo("admin", dbname=_MEM0_DATABASE),
            "dimension": len(next(iter(vectors.values()))),
            "texts": list(vectors),
            "vectors": list(vectors.values()),
            "conversations": [{"turns": turns, "questions": questions} for turns, questions in talks],
        }
        return _asked("mem0_search.py", asked)
    finally:
        postgres.release()


def _asked(script: str, request: Mapping[str, object]) -> Any:
    python = os.environ["FACTORY_BENCH_PYTHON"]
    answered = subprocess.run(
        [python, str(_HERE / script)],
        input=json.dumps(request),
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(answered.stdout)


def _say(text: str) -> None:
    print(f"recall_locomo: {text}", file=sys.stderr, flush=True)

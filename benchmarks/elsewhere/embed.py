"""Vectors by sentence-transformers: {"model": …, "texts": [...]} in, a list of vectors out, both JSON.

Run by `benchmarks/recall_locomo.py` with the interpreter of an environment that has sentence-transformers.
`model` is the folder of a model, or the name of an installed package that carries one (`get_model_path()`).
"""

# The environment that this runs in is not the project's, so its libraries are not known here.
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

from sentence_transformers import SentenceTransformer


def main() -> None:
    """Answer one request."""
    asked = json.load(sys.stdin)
    name = str(asked["model"])
    folder = name if Path(name).is_dir() else str(import_module(name).get_model_path())
    vectors = SentenceTransformer(folder, device="cpu").encode(asked["texts"], normalize_embeddings=True)
    json.dump([[round(float(number), 6) for number in vector] for vector in vectors], sys.stdout)


if __name__ == "__main__":
    main()

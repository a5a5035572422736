"""A provider whose package is not installed: said before anything is sent, with what to install."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.doubles.openai_server import OpenAIServer

PROGRAM = """
import asyncio, sys
sys.modules[sys.argv[3]] = None  # as if it were not installed: importing it raises ModuleNotFoundError
from pathlib import Path
from core.settings import Settings
from models.service import Models
from tests.models.calling import say

async def main():
    settings = Settings(models_file=Path(sys.argv[1]), ollama_url="http://127.0.0.1:1")
    async with await Models.open(settings, None) as models:
        print((await say(models)).text)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        ("openai", "langchain_openai"),
        ("anthropic", "langchain_anthropic"),
        ("gemini", "langchain_google_genai"),
    ],
)
def test_an_extra_that_is_missing_is_named_with_the_command_that_installs_it(
    kind: str, module: str, tmp_path: Path, factory_env: dict[str, str]
) -> None:
    with OpenAIServer() as server:
        file = tmp_path / "models.toml"
        file.write_text(
            f"""
            [accounts.a]
            provider = "{kind}"
            base_url = "{server.url}"
            key_env = "A_KEY"
            models = ["m"]
            [limits]
            patience_seconds = 0
            [pools.cloud]
            accounts = ["a"]
            [aliases]
            "factory/coder" = ["pool:cloud"]
            """
        )
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(file), kind, module],
            env={**factory_env, "A_KEY": "sk-extra-0123456789abcdef"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode != 0
    said = done.stderr.splitlines()[-1]
    assert f"needs the package {module.replace('_', '-')}, which is not installed" in said
    assert f"pip install 'factory-ai[{kind}]'" in said
    assert not server.requests

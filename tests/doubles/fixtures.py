"""Fixtures of the doubles. A conftest takes them with `from tests.doubles.fixtures import ollama_server`."""

from collections.abc import Iterator

import pytest

from tests.doubles.ollama_server import OllamaServer


@pytest.fixture
def ollama_server() -> Iterator[OllamaServer]:
    """A running double of Ollama; nothing fails until a test says so."""
    with OllamaServer() as server:
        yield server

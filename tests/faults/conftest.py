from tests.doubles.fixtures import ollama_server  # noqa: F401  (a fixture)

from tests.doubles.fixtures import ollama_server  # noqa: F401  (a fixture)
from tests.faults.playing import place  # noqa: F401  (likewise)
from tests.proved import tried_once  # noqa: F401  (likewise)

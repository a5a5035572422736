import pytest

from tests.models.offline.small_factory import SmallFactory


@pytest.fixture
def factory(tmp_path, monkeypatch):
    """A function: a small factory for a requirement, in an empty folder."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the plugins here take longer than the tests
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def make(requirement: str, **options: object) -> SmallFactory:
        return SmallFactory(tmp_path, requirement, **options)

    return make

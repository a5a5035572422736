"""The models file: a person's own over the factory's, and what is said when it is wrong."""

from decimal import Decimal
from pathlib import Path

import pytest

from models.catalogue import load
from models.errors import CatalogueInvalid


def test_the_own_file_is_whole() -> None:
    catalogue = load()
    assert set(catalogue.aliases) == {
        "factory/architect", "factory/coder", "factory/fast", "factory/cheap", "local/embed",
    }  # fmt: skip
    named = {name for chain in catalogue.aliases.values() for name in chain}
    assert named == set(catalogue.models)
    assert all(spec.cost(10**6, 10**6) == 0 for spec in catalogue.models.values())
    chatting = [spec for spec in catalogue.models.values() if "embed" not in spec.capabilities]
    assert all(spec.num_ctx >= catalogue.limits.least_context for spec in chatting)


def test_a_users_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[aliases]\n"factory/coder" = ["mine:7b"]\n'
        '[models."mine:7b"]\nnum_ctx = 65536\ninput_price = 0.15\n'
        "[limits]\ncall_seconds = 7\n"
    )
    own, mine = load(), load(file)
    assert mine.chain("factory/coder") == ("mine:7b",)
    assert mine.aliases["factory/cheap"] == own.aliases["factory/cheap"]
    assert mine.spec("mine:7b").num_ctx == 65536
    assert mine.spec("mine:7b").num_predict == own.defaults.num_predict
    assert mine.spec("mine:7b").cost(2_000_000, 1) == Decimal("0.30")
    assert (mine.limits.call_seconds, mine.limits.least_context) == (7, own.limits.least_context)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('[aliases]\n"factory/coder" = []', "aliases.factory/coder"),
        ('[aliases]\n"factory/coder" = "qwen"', "aliases.factory/coder"),
        ("[defaults]\nnum_ctx = 12", "defaults.num_ctx"),
        ("[defaults]\nnum_predict = -1", "num_predict"),
        ('[models.x]\ncapabilities = ["fly"]', "models.x.capabilities"),
        ("[models.x]\ncolour = 3", "models.x.colour"),
        ("models = 3", "models"),
        ("[retry]\nattempts = 0", "retry.attempts"),
        ("[wishes]\na = 1", "wishes"),
        ("[aliases", "table declaration"),
        ("\ufeff[aliases]", ""),
    ],
)
def test_an_invalid_file_names_itself_and_the_field(tmp_path: Path, text: str, field: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueInvalid) as invalid:
        load(file)
    assert str(file) in str(invalid.value)
    assert field in str(invalid.value)
    assert invalid.value.exit_code == 2


@pytest.mark.parametrize("name", ["absent.toml", "binary.toml", "folder.toml"])
def test_an_unreadable_file_is_bad_input(tmp_path: Path, name: str) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(CatalogueInvalid, match=name):
        load(tmp_path / name)

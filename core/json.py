"""JSON as the factory writes it: one text for one value, so that it can be hashed and compared."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

from typing_extensions import TypeAliasType

# Read-only collections inside, so that a list[str] or a dict[str, int] is a JsonValue too. Pydantic needs the
# named form to follow the recursion; pyright reads that one as Unknown from some modules.
if TYPE_CHECKING:
    JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
else:
    JsonValue = TypeAliasType(
        "JsonValue",
        "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None",
    )
JsonObject = dict[str, JsonValue]


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value read from JSON or TOML is an object: both know no other names than texts."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether a value read from JSON or TOML is an array."""
    return isinstance(value, list)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    if isinstance(value, Sequence):
        return list(cast("Sequence[object]", value))
    raise TypeError(f"{type(value).__name__} is no JSON value")


def canonical(value: JsonValue | JsonObject) -> str:
    """The one text of `value`: sorted keys, no spaces, real characters, valid UTF-8.

    Raises ValueError for NaN and infinities, TypeError for what is no JSON value.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
    )
    # A lone surrogate has no UTF-8; its JSON escape (\udc80) is exactly Python's backslash escape.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def parse(text: str | bytes) -> JsonValue:
    """The value of a JSON text. Raises ValueError where it is none."""
    return json.loads(text)

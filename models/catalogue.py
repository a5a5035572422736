"""Which models exist for the factory: `models.toml`, with a person's own file over it."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from core.json import is_object
from models.errors import CatalogueInvalid, UnknownAlias

OWN = Path(__file__).parent / "models.toml"
EMBED_ALIAS = "local/embed"

Capability = Literal["tools", "format", "thinking", "embed"]
"""What a model can do: call tools natively, keep to a JSON schema, think first, turn text into vectors."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][\w./:-]*$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSpec(_Frozen):
    """One model as the factory asks for it."""

    num_ctx: int = Field(ge=512)
    """Tokens of prompt and answer together."""
    num_predict: int = Field(ge=64)
    """Tokens of the longest answer; always finite."""
    capabilities: frozenset[Capability]
    input_price: Decimal = Field(ge=0)
    """USD per million tokens."""
    output_price: Decimal = Field(ge=0)
    keep_alive: str
    temperature: float | None = Field(default=None, ge=0, le=2)

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal:
        """USD for that many tokens."""
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1_000_000


class Limits(_Frozen):
    """Bounds of every call. Seconds and tokens."""

    parallel_calls: int = Field(ge=1)
    least_context: int = Field(ge=0)
    least_answer: int = Field(ge=1)
    bytes_per_token: float = Field(gt=0)
    probe_seconds: float = Field(gt=0)
    connect_seconds: float = Field(gt=0)
    silence_seconds: float = Field(gt=0)
    call_seconds: float = Field(gt=0)


class Retry(_Frozen):
    """How often and how patiently a call is tried again."""

    attempts: int = Field(ge=1, le=20)
    first_seconds: float = Field(ge=0)
    longest_seconds: float = Field(ge=0)


class Canary(_Frozen):
    """The tiny call that shows whether a model keeps to `format`."""

    prompt: str = Field(min_length=1)
    num_predict: int = Field(ge=16)


class Catalogue(_Frozen):
    """Aliases, models and limits."""

    aliases: dict[str, Annotated[tuple[Name, ...], Field(min_length=1)]]
    defaults: ModelSpec
    models: dict[Name, ModelSpec]
    limits: Limits
    retry: Retry
    canary: Canary

    def chain(self, alias: str) -> tuple[str, ...]:
        """The names behind an alias, the preferred one first. Raises UnknownAlias."""
        try:
            return self.aliases[alias]
        except KeyError:
            raise UnknownAlias(
                f"There is no alias {alias!r}", todo=f"Use one of {', '.join(sorted(self.aliases))}"
            ) from None

    def spec(self, model: str) -> ModelSpec:
        """How that model is asked; the defaults where the file does not name it."""
        return self.models.get(model, self.defaults)


def load(path: Path | None = None) -> Catalogue:
    """The factory's own catalogue with `path` over it, table by table.

    Raises CatalogueInvalid, which names the file and the field.
    """
    tables = _read(OWN)
    if path is not None:
        tables = _merged(tables, _read(path))
    models = tables.get("models")
    defaults = tables.get("defaults")
    if is_object(models) and is_object(defaults):
        tables["models"] = {
            name: _merged(defaults, entry) if is_object(entry) else entry for name, entry in models.items()
        }
    try:
        return Catalogue.model_validate(tables)
    except ValidationError as invalid:
        problem = invalid.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise CatalogueInvalid(
            f"{path or OWN}: {field}: {problem['msg']}",
            untouched="No model was asked",
            todo="Correct that field; models/models.toml shows every one",
        ) from None


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no TOML
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise CatalogueInvalid(
            f"{path}: {why}",
            untouched="No model was asked",
            todo="Correct the file, or unset FACTORY_MODELS_FILE",
        ) from None


def _merged(below: dict[str, object], above: dict[Any, Any]) -> dict[str, object]:
    """`above` over `below`: tables are joined, everything else is replaced."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        both = is_object(old) and is_object(value)
        merged[name] = (
            _merged(cast("dict[str, object]", old), cast("dict[Any, Any]", value)) if both else value
        )
    return merged

"""What can go wrong between a team and a model."""

from core.errors import BadInput, FactoryError


class CatalogueInvalid(BadInput):
    """The file that lists the models cannot be used."""


class UnknownModel(BadInput):
    """No such model is there."""


class UnknownAlias(BadInput):
    """No model stands behind that alias."""


class ModelUnavailable(FactoryError):
    """The model does not answer."""


class ModelTooSmall(FactoryError):
    """The model's context window is too small for this work."""


class ContextOverflow(FactoryError):
    """The prompt does not fit the model's context window."""


class ModelStopped(FactoryError):
    """The model stopped before its reply was whole.

    `raw` is what it had said until then, so that a person can read it; the tokens were spent all the same.
    """

    def __init__(
        self,
        what: str = "",
        *,
        untouched: str = "",
        todo: str = "",
        raw: str = "",
        input_tokens: int = 0,
        output_tokens: int = 0,
    ) -> None:
        super().__init__(what, untouched=untouched, todo=todo)
        self.raw = raw
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens


class ModelScriptEnded(FactoryError):
    """The offline model has no script for this request."""

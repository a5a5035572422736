"""What can go wrong between a team and a model."""

from decimal import Decimal

from core.errors import BadInput, FactoryError
from models.calls import Charge


class CatalogueInvalid(BadInput):
    """The file that lists the models cannot be used."""


class ModelFailure(FactoryError):
    """A model gave no usable reply.

    What a caller catches who can go on without that reply. `raw` is what the model had said until it failed,
    so that a person can read it.
    """

    http_status = 502

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
        """Spent all the same, as are the output's."""
        self.output_tokens = output_tokens
        self.cost_usd: Decimal | None = None
        """What that cost, where an account of a pool was asked."""
        self.charges: tuple[Charge, ...] = ()
        """Of that, what each account charged."""
        self.account = ""
        self.provider = ""
        self.model = ""
        """Who was asked last, in a pool."""


class UnknownModel(BadInput, ModelFailure):
    """No such model is there."""


class UnknownAlias(BadInput):
    """No model stands behind that alias."""


class ModelUnavailable(ModelFailure):
    """The model does not answer."""

    http_status = 503


class ModelTooSmall(ModelFailure):
    """The model's context window is too small for this work."""


class ContextOverflow(ModelFailure):
    """The prompt does not fit the model's context window."""


class ModelStopped(ModelFailure):
    """The model stopped before its reply was whole. The tokens were spent all the same."""


class ModelScriptEnded(ModelFailure):
    """The offline model has no script for this request."""


class ProviderMissing(BadInput):
    """The package of a provider is not installed."""


class PoolExhausted(ModelUnavailable):
    """No account of the pool can answer now."""

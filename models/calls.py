"""What goes to a model, and what comes back."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from langchain_core.messages import AIMessage

CallKind = Literal["govern", "plan", "work", "review", "report", "clarify", "remember", "talk"]
"""Why a model is called: assess a requirement, choose teams, do the work, read a change, report the result,
answer another team, keep what is worth remembering, talk with a person."""


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls, and why."""

    run_id: str
    team: str
    """A team's id; `factory` for plan and govern."""
    operative: str
    kind: CallKind
    key: str
    """Idempotency key of the ledger row: one row for one (run, key)."""
    paid_by: str = ""
    """The team whose stage pays, where it is not the one that is called: who asked a question."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one account charged for its try of a call."""

    account: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply. One that stopped half-way is an error, never a Reply."""

    message: AIMessage
    """Text and tool calls, without the model's thinking."""
    alias: str
    provider: str
    """`ollama`, `openai`, `anthropic`, `gemini` or `offline`."""
    model: str
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    seconds: float
    """Wall clock, waiting and retries included."""
    thinking: str = ""
    """What the model thought before it answered; kept apart, so that it never enters a prompt again."""
    format_honoured: bool | None = None
    """Of a call with a schema: whether the model proved to keep to `format`. False means plain prompting.
    None where nothing was asked."""
    account: str = ""
    """The account of a pool that answered; empty where none did."""
    charges: tuple[Charge, ...] = ()
    """Of the sums above, what other accounts charged that were tried before."""

    @property
    def text(self) -> str:
        """The reply's text."""
        return str(self.message.text)

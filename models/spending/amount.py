"""An amount of money as a person writes it."""

import re
from decimal import Decimal

from core.errors import BadInput

MOST = Decimal(1_000_000)
"""USD; more is a slip of the pen."""
_WRITTEN = re.compile(r"\+?\s*\$?\s*(\d{1,7}(?:\.\d{1,6})?|\.\d{1,6})\s*(?:\$|usd)?", re.IGNORECASE)


class AmountInvalid(BadInput):
    """That is no amount of money."""


def usd(text: str, *, least: Decimal = Decimal(0)) -> Decimal:
    """US dollars, as in `0.10`, `$5`, `12.50 USD`; at least `least`. Raises AmountInvalid."""
    written = _WRITTEN.fullmatch(text.strip())
    amount = None if written is None else Decimal(written[1])
    if amount is None or not least <= amount <= MOST:
        raise AmountInvalid(
            f"{text.strip()[:40]!r} is no amount in US dollars between {shown(least)} and {MOST:,}",
            todo="Write it as 0.10, with a point and at most six digits after it",
        )
    return amount


def shown(amount: Decimal) -> str:
    """An amount for people, without zeros that say nothing: 0.10, 12.50, 0.0912."""
    text = f"{amount:.6f}".rstrip("0")
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest.ljust(2, '0')}"

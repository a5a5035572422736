"""What requests are made of: names, texts and money as this API takes them."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Path
from pydantic import BaseModel, ConfigDict, StringConstraints

from api.found import LONGEST

_PRINTED: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"

Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST, pattern=_PRINTED)]
"""What names something: one line without control characters."""
Words = Annotated[str, StringConstraints(max_length=100_000)]
"""A text that a person writes."""
Money = Annotated[str, StringConstraints(max_length=40, pattern=r"^[\x20-\x7e]*$")]
"""US dollars as text, as in `0.10`: a number would not be what was meant."""

ProjectName = Annotated[str, Path(description="A project's name.", examples=["library"], max_length=63)]
TeamName = Annotated[
    str, Path(description="A team's id.", examples=["backend_engineering"], max_length=LONGEST)
]


class Wanted(BaseModel):
    """A request's body: no field that is not known is passed over in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

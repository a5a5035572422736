"""What may not leave this machine is not told to a tracing service either."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import langsmith


def untraced(local_only: bool) -> AbstractContextManager[None]:
    """A block in which LangSmith, if the environment has switched it on, is told nothing."""
    if not local_only:
        return nullcontext()
    return cast("AbstractContextManager[None]", cast(Any, langsmith).tracing_context(enabled=False))

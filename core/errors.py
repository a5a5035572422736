"""What can go wrong, said so that a person can act on it."""

import re
from typing import ClassVar


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text[-1] in ".!?:" else text + "."


class FactoryError(Exception):
    """Something went wrong in the factory.

    A subclass per thing that a caller can act on. The first line of its docstring is the message where
    none is given.
    """

    code: ClassVar[str] = "factory-error"
    """Stable name of the error for programs, derived from the class name."""
    exit_code: ClassVar[int] = 4
    """What the command line ends with: 2 usage, 3 waits for a person, 4 failed, 5 rejected."""
    http_status: ClassVar[int] = 500
    """What a server answers with."""

    what: str
    """What happened."""
    untouched: str
    """What was left as it was; empty where nothing was at stake."""
    todo: str
    """What the reader can do next; empty where nothing helps."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            cls.code = _kebab(cls.__name__)

    def __init__(self, what: str = "", *, untouched: str = "", todo: str = "") -> None:
        self.what = what or (type(self).__doc__ or FactoryError.__doc__ or "").strip().splitlines()[0]
        self.untouched = untouched
        self.todo = todo
        super().__init__(what)

    def http_headers(self) -> dict[str, str]:
        """What a server's answer carries beside the status, such as Retry-After."""
        return {}

    def __str__(self) -> str:
        return " ".join(_sentence(part) for part in (self.what, self.untouched, self.todo) if part)


class BadInput(FactoryError):
    """What was given cannot be used."""

    exit_code = 2
    http_status = 422


class NotFound(BadInput):
    """There is nothing by that name or id."""

    http_status = 404

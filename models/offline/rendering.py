"""Templates (`templates/*.txt`) with `@@name@@` for what is filled in. No logic in them."""

import re
from functools import cache
from importlib import resources


@cache
def _template(name: str) -> str:
    return resources.files("models.offline").joinpath(f"templates/{name}.txt").read_text("utf-8")


def render(template: str, **values: str) -> str:
    """The template's text with every `@@name@@` replaced. A name without a value is a KeyError."""
    return re.sub(r"@@([a-z_]+)@@", lambda found: values[found[1]], _template(template))


def fence(text: str, info: str = "text") -> str:
    """A fenced block that the text cannot end, however many backticks it has."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}{info}\n{text.rstrip()}\n{marks}"


def sentence(items: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def edit_block(path: str, search: str, replace: str) -> str:
    """An edit: `search` stands in the file exactly once."""
    body = f"<<<<<<< SEARCH\n{search.rstrip()}\n=======\n{replace.rstrip()}\n>>>>>>> REPLACE"
    return fence(body, f"edit {path}")

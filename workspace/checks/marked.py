"""YAML read for a linter: every value with its line, bounded, and no object but text, lists and mappings."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

_yaml: Any = import_module("yaml")

_DEEPEST: Final = 30
_MOST_NODES: Final = 20_000


class NoYaml(ValueError):
    """The text is no YAML, or more of it than is read."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


@dataclass(frozen=True, slots=True)
class Node:
    """A value and the line it begins on, counted from 1."""

    line: int
    value: "str | list[Node] | dict[str, Node]"
    twice: tuple[str, ...] = ()
    """Keys that stand more than once in a mapping."""

    def get(self, key: str) -> "Node | None":
        """The value of a key; None where this is no mapping, or has none."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    @property
    def items(self) -> "dict[str, Node]":
        """The mapping; empty where this is none."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def entries(self) -> "list[Node]":
        """The list; empty where this is none."""
        return self.value if isinstance(self.value, list) else []

    @property
    def text(self) -> str:
        """The scalar; empty where this is none."""
        return self.value if isinstance(self.value, str) else ""


def read(text: str) -> Node:
    """The first document. Raises NoYaml."""
    try:
        events = iter(_yaml.parse(text, Loader=_yaml.SafeLoader))
        reader = _Reader(events)
        for event in events:
            if isinstance(event, _yaml.NodeEvent):
                return reader.node(event, 0)
    except _yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise NoYaml(mark.line + 1 if mark else 1, str(getattr(error, "problem", "") or error)) from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, NoYaml):
            raise
        raise NoYaml(1, "cannot be read as YAML") from None
    return Node(1, "")


def plain(node: Node) -> Any:
    """The value as texts, lists and dictionaries, without its lines."""
    if isinstance(node.value, list):
        return [plain(each) for each in node.value]
    if isinstance(node.value, dict):
        return {key: plain(each) for key, each in node.value.items()}
    return node.value


class _Reader:
    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, Node] = {}
        self._nodes = 0

    def node(self, event: Any, depth: int) -> Node:
        line = int(event.start_mark.line) + 1
        self._nodes += 1
        if depth > _DEEPEST or self._nodes > _MOST_NODES:
            raise NoYaml(line, "nested too deep, or too big")
        if isinstance(event, _yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise NoYaml(line, f"the anchor {str(event.anchor)[:40]!a} is not there")
            return self._anchors[event.anchor]
        made = self._made(event, line, depth)
        if event.anchor:
            self._anchors[event.anchor] = made
        return made

    def _made(self, event: Any, line: int, depth: int) -> Node:
        if isinstance(event, _yaml.ScalarEvent):
            return Node(line, str(event.value))
        if isinstance(event, _yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(inner := next(self._events), _yaml.SequenceEndEvent):
                items.append(self.node(inner, depth + 1))
            return Node(line, items)
        fields: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        twice: list[str] = []
        while not isinstance(inner := next(self._events), _yaml.MappingEndEvent):
            key = self.node(inner, depth + 1)
            value = self.node(next(self._events), depth + 1)
            if key.text == "<<":
                for source in value.entries or [value]:
                    merged = source.items | merged  # the first one that has a key counts
            elif key.text in fields:
                twice.append(key.text)
            else:
                fields[key.text] = value
        return Node(line, merged | fields, tuple(twice))

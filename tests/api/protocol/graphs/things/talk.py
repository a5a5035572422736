"""A graph that passes through what the protocol tells: messages, custom events, an interrupt, a subgraph."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

from .words import WORDS


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    told: Annotated[list[str], operator.add]


def speak(state: State) -> dict[str, Any]:
    get_stream_writer()({"name": "progress", "at": "speak"})
    return {"messages": [AIMessage(WORDS[0], id="said-1")], "told": ["speak"]}


def ask(state: State) -> dict[str, Any]:
    answer = interrupt({"question": "Go on?"})
    return {"told": [f"answered {answer}"]}


class Inside(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]


def inner(state: Inside) -> dict[str, Any]:
    return {"messages": [AIMessage("inside", id="said-inside")]}


def last(state: State) -> dict[str, Any]:
    return {"messages": [AIMessage(WORDS[1], id="said-2")]}


def _inside() -> Any:
    nested = StateGraph(Inside)
    nested.add_node("inner", inner)
    nested.add_edge(START, "inner")
    nested.add_edge("inner", END)
    return nested.compile()


_graph = StateGraph(State)
_graph.add_node("speak", speak)
_graph.add_node("ask", ask)
_graph.add_node("nested", _inside())
_graph.add_node("last", last)
_graph.add_edge(START, "speak")
_graph.add_edge("speak", "ask")
_graph.add_edge("ask", "nested")
_graph.add_edge("nested", "last")
_graph.add_edge("last", END)
graph = _graph.compile()

"""The document that describes the service shows answers as they are."""

from __future__ import annotations

from fastapi.routing import iter_route_contexts
from pydantic import TypeAdapter

from api.app import routed
from api.generating import document
from api.openapi import EXAMPLES


def test_each_example_is_an_answer_of_its_kind_with_every_field() -> None:
    models = {
        route.response_model.__name__: route.response_model
        for route in (context.original_route for context in iter_route_contexts(routed().routes))
        if isinstance(getattr(route, "response_model", None), type)
    }
    nouns = {
        "RunSummary",
        "ProjectShown",
        "ApprovalShown",
        "ScheduleShown",
        "CostsShown",
        "BudgetPage",
        "User",
    }
    assert nouns <= set(EXAMPLES) <= set(document()["components"]["schemas"])
    for name, example in EXAMPLES.items():
        model = models[name]
        adapter = TypeAdapter(model)
        assert adapter.dump_python(adapter.validate_python(example), mode="json") == example, name

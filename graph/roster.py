"""The teams in the order in which people expect them."""

from __future__ import annotations

from core.errors import FactoryError
from graph import dag
from teams.registry import Registry
from teams.team import Team


def in_order(registry: Registry) -> list[Team]:
    """In the order in which the full pipeline has them, where the pack has one; else by their names."""
    try:
        text, where = registry.pack_file("pipeline.toml")
        order = dag.load(text, "full", registry.ids, where=where).teams
    except FactoryError:
        order = ()
    place = {team: number for number, team in enumerate(order)}
    return sorted(registry, key=lambda team: (place.get(team.id, len(place)), team.id))

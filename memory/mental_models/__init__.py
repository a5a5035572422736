"""Mental models: what a team has learned, on one short page that is kept version by version."""

from memory.mental_models.page import Line, Page
from memory.mental_models.service import MentalModels

__all__ = ["Line", "MentalModels", "Page"]

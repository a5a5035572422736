"""Who writes what: every team's writer by the team's id."""

from models.offline import documents, openapi, operations, parts, software
from models.offline.job import Writer

WRITERS: dict[str, Writer] = {
    **documents.WRITERS,
    **operations.WRITERS,
    **software.WRITERS,
    **parts.WRITERS,
    "api_design": openapi.api_design,
}

"""Example rows: the same ones in tests, guides and the API's document."""

from models.offline.domain import Entity, Field
from models.offline.naming import spoken

Value = str | int | float | bool


def example(field: Field, *, second: bool = False) -> Value:
    """A believable value of a field; `second` is a different one."""
    match field.kind:
        case "integer":
            return (2024 if "year" in field.name else 3) + second
        case "number":
            return 12.5 + second
        case "boolean":
            return second
        case "date":
            return "2024-06-30" if second else "2024-05-31"
        case "text":
            if "email" in field.name:
                return "grace@example.org" if second else "ada@example.org"
            return f"{'Another' if second else 'Some'} {spoken(field.name)}"


def row(entity: Entity) -> dict[str, Value]:
    """A complete row, without links to other rows."""
    return {field.name: example(field) for field in entity.fields if not field.references}


def change(entity: Entity) -> dict[str, Value]:
    """A change of one field of that row."""
    field = next(field for field in entity.fields if not field.references)
    return {field.name: example(field, second=True)}

"""Just enough of JSON Schema to play a server that keeps an answer to `format`."""

from typing import Any

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def example(schema: dict[str, Any]) -> Any:
    """The smallest value that the schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type", "object"):
        case "object":
            return {name: example(part) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [
                example(schema.get("items", {"type": "string"})) for _ in range(schema.get("minItems", 0))
            ]
        case "string":
            return "text"
        case "boolean":
            return True
        case "integer" | "number":
            return schema.get("minimum", 0)
        case _:
            return None


def matches(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is one that the schema allows."""
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema.get("type", "object")
    if not isinstance(value, _TYPES[kind]) or (kind in ("integer", "number") and isinstance(value, bool)):
        return False
    if kind == "array":
        return all(matches(item, schema.get("items", {"type": "string"})) for item in value)
    if kind != "object":
        return True
    properties = schema.get("properties", {})
    return all(name in value for name in schema.get("required", [])) and all(
        matches(value[name], part) for name, part in properties.items() if name in value
    )

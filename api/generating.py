"""Writes the Python client (api/client/) from the OpenAPI document: `make client`.

What is written is typed and small: a TypedDict for each schema, a method for each operation. How requests are
sent and how problems come back stands in api/client/transport.py, by hand.
"""

from __future__ import annotations

import keyword
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Final, TypeGuard

from api.app import routed

FOLDER: Final = Path(__file__).parent / "client"
_MADE: Final = "Made from the OpenAPI document by api/generating.py; `make client` makes it anew."
_METHODS: Final = ("get", "put", "post", "patch", "delete")
_PLAIN: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}

Schema = dict[str, Any]


def document() -> Schema:
    """The OpenAPI document of the service as it is in this checkout."""
    return routed().openapi()


def generated() -> dict[str, str]:
    """The files of the client that are made, by their names."""
    told = document()
    return {
        "models.py": _formatted(_models(told["components"]["schemas"])),
        "operations.py": _formatted(_operations(told)),
    }


def main() -> None:
    """Write the files."""
    for name, text in generated().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def _formatted(text: str) -> str:
    for tidy in (["check", "--fix-only", "--select", "I,F401"], ["format", "--line-length", "110"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *tidy, "--quiet", "--stdin-filename", FOLDER / "made.py", "-"],
            input=text, capture_output=True, text=True, check=True, cwd=FOLDER.parent.parent,
        )  # fmt: skip
        text = done.stdout
    return text


def _models(schemas: Schema) -> str:
    lines = [
        f'"""What the service sends and takes.\n\n{_MADE}\n"""',
        "",
        "from __future__ import annotations",
        "",
    ]
    lines += ["from typing import Any, Literal, NotRequired, TypedDict", ""]
    for name, schema in sorted(schemas.items()):
        lines += _model(_identifier(name), schema)
    return "\n".join(lines)


def _model(name: str, schema: Schema) -> list[str]:
    if schema.get("type") != "object" or "properties" not in schema:
        return [f"{name} = {_quoted_type(schema)}", ""]
    # What the service sends is always whole; only what it takes may be left out.
    taken = name.endswith(("Wanted", "Input")) or name in {
        "SettingsShownInput",
        "UserChange",
        "SignIn",
        "Refresh",
        "Reasoned",
        "Extension",
    }
    required = set(schema.get("required", ()) if taken else schema["properties"])
    fields = [
        (field, _type(value) if field in required else f"NotRequired[{_type(value)}]")
        for field, value in schema["properties"].items()
    ]
    about = _about(schema.get("description") or name)
    if all(field.isidentifier() and not keyword.iskeyword(field) for field, _ in fields):
        body = [f"    {field}: {kind}" for field, kind in fields]
        return [f"class {name}(TypedDict):", f'    """{about}"""', "", *body, ""]
    pairs = ", ".join(f'"{field}": "{kind}"' for field, kind in fields)
    return [f'{name} = TypedDict("{name}", {{{pairs}}})', f'"""{about}"""', ""]


def _type(schema: Schema) -> str:
    """The Python type of a schema."""
    if "$ref" in schema:
        return _identifier(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return f"Literal[{schema['const']!r}]"
    if "enum" in schema:
        return f"Literal[{', '.join(repr(value) for value in schema['enum'])}]"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(_type(one) for one in schema[several]))
    if "allOf" in schema and len(schema["allOf"]) == 1:
        return _type(schema["allOf"][0])
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items")
        return f"list[{_type(items)}]" if _is_schema(items) else "list[Any]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"dict[str, {_type(values)}]" if _is_schema(values) else "dict[str, Any]"
    return _PLAIN.get(str(kind), "Any")


def _is_schema(value: object) -> TypeGuard[Schema]:
    return isinstance(value, dict)


def _quoted_type(schema: Schema) -> str:
    kind = _type(schema)
    return kind if re.fullmatch(r"Literal\[.*\]|[a-z]+(\[.*\])?", kind) else f'"{kind}"'


def _operations(told: Schema) -> str:
    methods: list[str] = []
    used: set[str] = set()
    for path, operations in told["paths"].items():
        for method in _METHODS:
            if method in operations:
                methods += _operation(path, method, operations[method], used)
    head = [f'"""A method for each operation of the service.\n\n{_MADE}\n"""', ""]
    head += ["from __future__ import annotations"]
    head += ["", "from collections.abc import Sequence", "from contextlib import AbstractAsyncContextManager"]
    head += ["from typing import Any, Literal", "", "from api.client import models", ""]
    head += ["from api.client.transport import Content, Received, Transport, part, parts", "", ""]
    head += ["class Operations(Transport):", '    """What a client can ask of the service."""', ""]
    return "\n".join([*head, *methods])


def _operation(path: str, method: str, operation: Schema, used: set[str]) -> list[str]:
    given = [each for each in operation.get("parameters", ()) if each["in"] in ("path", "query", "header")]
    order = re.findall(r"\{(\w+)\}", path)
    in_path = sorted(
        (each for each in given if each["in"] == "path"), key=lambda each: order.index(each["name"])
    )
    others = [each for each in given if each["in"] != "path" and each.get("required")] + [
        each for each in given if each["in"] != "path" and not each.get("required")
    ]
    body, body_required = _body(operation)
    signature = ["self", *(f"{_argument(each['name'])}: {_prefixed(each['schema'])}" for each in in_path)]
    if body is not None:
        signature.append(f"{body[0]}: {body[1]}" + ("" if body_required else " | None = None"))
    if others:
        signature.append("*")
        signature += [_keyword(each) for each in others]
    long = {each["name"] for each in in_path if each["schema"].get("x-slashes")}
    where = re.sub(
        r"\{(\w+)\}",
        lambda found: f"{{part{'s' if found[1] in long else ''}({_argument(found[1])})}}",
        path,
    )
    arguments = [f'"{method.upper()}"', f'f"{where}"' if in_path else f'"{where}"']
    for place in ("query", "header"):
        named = [each for each in others if each["in"] == place]
        if named:
            pairs = ", ".join(f'"{each["name"]}": {_argument(each["name"])}' for each in named)
            arguments.append(f"{'params' if place == 'query' else 'headers'}={{{pairs}}}")
    if body is not None:
        arguments.append("json=body" if body[0] == "body" else "content=content")
    result, sent = _result(operation)
    call = f"self.{sent}({', '.join(arguments)})"
    name = _identifier(operation["operationId"])
    assert name not in used, name
    used.add(name)
    about = _about(operation.get("description") or operation.get("summary") or name)
    if sent == "stream":
        returns, prefix, keep = "AbstractAsyncContextManager[Received]", "", "return "
    else:
        returns, prefix, keep = result, "async ", "await " if result == "None" else "return await "
    lines = [f"{prefix}def {name}({', '.join(signature)}) -> {returns}:", f'    """{about}"""']
    return [*(f"    {line}" for line in [*lines, f"    {keep}{call}"]), ""]


def _body(operation: Schema) -> tuple[tuple[str, str] | None, bool]:
    told = operation.get("requestBody")
    if told is None:
        return None, False
    schema = told["content"].get("application/json", {}).get("schema")
    required = bool(told.get("required"))
    if schema is None or schema == {"type": "object"}:
        return ("content", "Content"), required
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return ("body", " | ".join(_prefixed(one) for one in kinds)), required


def _result(operation: Schema) -> tuple[str, str]:
    """What an operation gives, and how it is asked: `call` for JSON, `stream` for anything else."""
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            content = response.get("content", {})
            schema = content.get("application/json", {}).get("schema")
            if schema is not None and schema != {"type": "object"}:
                return _prefixed(schema), "call"
            return ("None", "call") if not content else ("Received", "stream")
    return "None", "call"


def _keyword(parameter: Schema) -> str:
    kind = _prefixed(parameter["schema"])
    kind = re.sub(r"\blist\[", "Sequence[", kind)
    if parameter.get("required"):
        return f"{_argument(parameter['name'])}: {kind}"
    kind = kind if "None" in kind.split(" | ") else f"{kind} | None"
    return f"{_argument(parameter['name'])}: {kind} = None"


def _prefixed(schema: Schema) -> str:
    """A type as another module names it."""
    names = re.compile(r"(?<![\w.'\"])([A-Z]\w*)(?!\w*['\"])")
    known = {"Any", "Literal", "None", "NotRequired", "Sequence"}
    return names.sub(lambda found: found[0] if found[0] in known else f"models.{found[0]}", _type(schema))


def _argument(name: str) -> str:
    plain = re.sub(r"\W", "_", name).lower()
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def _identifier(name: str) -> str:
    return re.sub(r"\W", "", name.replace("-", ""))


def _about(text: str) -> str:
    first = " ".join(text.split("\n\n")[0].split()).replace("\\", "\\\\").replace('"""', "'''")
    if first.endswith('"'):
        first += "."
    return "\n    ".join(textwrap.wrap(first, 95))


if __name__ == "__main__":
    main()

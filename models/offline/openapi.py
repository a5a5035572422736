"""The OpenAPI document and its guide: every path, status and field of the service."""

import json

from models.offline.domain import Entity, Field
from models.offline.job import Files, Job
from models.offline.naming import spoken
from models.offline.rendering import render
from models.offline.samples import row

Schema = dict[str, object]

_KINDS: dict[str, Schema] = {
    "text": {"type": ["string", "null"], "maxLength": 10_000},
    "date": {"type": ["string", "null"], "description": "ISO date, such as 2024-05-31"},
    "integer": {"type": ["integer", "null"]},
    "number": {"type": ["number", "null"]},
    "boolean": {"type": ["boolean", "null"]},
}


def api_design(job: Job) -> Files:
    """`openapi.json` and the guide to it."""
    rows = "".join(_guide_rows(entity) for entity in job.domain.entities)
    return {
        "docs/api/openapi.json": json.dumps(document(job), indent=2, ensure_ascii=False) + "\n",
        "docs/api/guide.md": render("docs/api_guide.md", rows=rows, **job.common()),
    }


def document(job: Job) -> Schema:
    """The whole document, OpenAPI 3.1."""
    paths: Schema = {
        "/health": {"get": _operation("health", "Whether the service works", {"200": _json("Health")})}
    }
    schemas: Schema = {
        "Health": {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]},
        "Problem": {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "errors": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "required": ["type", "title", "status"],
        },
    }
    for entity in job.domain.entities:
        paths |= _paths(entity)
        schemas |= _schemas(entity)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": job.domain.title,
            "version": "0.1.0",
            "license": {"name": "to be chosen by the owner"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _paths(entity: Entity) -> Schema:
    name, many, one = _schema_name(entity), entity.plural, spoken(entity.name)
    missing: Schema = {"404": _problem("There is no such row")}
    refused: Schema = {str(code): _problem(why) for code, why in _REFUSED.items()}
    body = {"required": True, "content": {"application/json": {"schema": _ref(f"New{name}")}}}
    change = {"required": True, "content": {"application/json": {"schema": _ref(f"{name}Change")}}}
    key: Schema = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
    return {
        f"/api/{many}": {
            "get": {
                **_operation(
                    f"list_{many}", f"List {spoken(many)}", {"200": _json(f"{name}Page"), **_bad_query()}
                ),
                "parameters": _query(entity),
            },
            "post": {
                **_operation(f"create_{entity.name}", f"Create a {one}", {"201": _json(name), **refused}),
                "requestBody": body,
            },
        },
        f"/api/{many}/{{id}}": {
            "parameters": [key],
            "get": _operation(f"get_{entity.name}", f"Get a {one}", {"200": _json(name), **missing}),
            "put": {
                **_operation(
                    f"replace_{entity.name}",
                    f"Set every field of a {one}",
                    {"200": _json(name)} | missing | refused,
                ),
                "requestBody": body,
            },
            "patch": {
                **_operation(
                    f"change_{entity.name}",
                    f"Change some fields of a {one}",
                    {"200": _json(name)} | missing | refused,
                ),
                "requestBody": change,
            },
            "delete": _operation(
                f"delete_{entity.name}", f"Delete a {one}", {"204": {"description": "Deleted"}, **missing}
            ),
        },
    }


_REFUSED = {
    400: "The row is not valid",
    409: "A link points to a row that does not exist",
    413: "The body is too large",
    415: "The body is not JSON",
}


def _schemas(entity: Entity) -> Schema:
    name = _schema_name(entity)
    fields = {field.name: _field(field) for field in entity.fields}
    required = [field.name for field in entity.fields if field.required]
    new: Schema = {
        "type": "object",
        "properties": fields,
        "additionalProperties": False,
        "example": row(entity),
    }
    new |= {"required": required} if required else {}
    whole = {"id": {"type": "integer", "minimum": 1}, **fields}
    return {
        f"New{name}": new,
        f"{name}Change": {
            "type": "object",
            "properties": fields,
            "additionalProperties": False,
            "minProperties": 1,
        },
        name: {"type": "object", "properties": whole, "required": list(whole), "additionalProperties": False},
        f"{name}Page": {
            "type": "object",
            "properties": {
                "items": {"type": "array", "items": _ref(name)},
                **{key: {"type": "integer", "minimum": 0} for key in ("total", "limit", "offset")},
            },
            "required": ["items", "total", "limit", "offset"],
        },
    }


def _field(field: Field) -> Schema:
    schema = dict(_KINDS[field.kind])
    if field.required:
        schema |= {"type": "string", "minLength": 1}
    if field.references:
        schema["description"] = f"The id of one of /api/{field.references}"
    return schema


def _query(entity: Entity) -> list[Schema]:
    number: Schema = {"type": "integer", "minimum": 0}
    found: list[Schema] = [
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
        },
        {"name": "offset", "in": "query", "schema": {**number, "default": 0}},
        {
            "name": "q",
            "in": "query",
            "description": "Looked for in every text field",
            "schema": {"type": "string"},
        },
    ]
    for field in entity.fields:
        names = [field.name]
        names += [f"{field.name}_before", f"{field.name}_after"] if field.kind == "date" else []
        kind = "string" if field.kind in {"text", "date"} else field.kind
        for name in names:
            found.append({"name": name, "in": "query", "schema": {"type": kind}})
    return found


def _guide_rows(entity: Entity) -> str:
    many, one = entity.plural, spoken(entity.name)
    return (
        f"| `GET /api/{many}` | 200, a page of {spoken(many)} |\n"
        f"| `POST /api/{many}` | 201, the new {one}, and its address in `Location` |\n"
        f"| `GET /api/{many}/{{id}}` | 200, or 404 |\n"
        f"| `PATCH /api/{many}/{{id}}` | 200, the changed {one}, or 404 |\n"
        f"| `PUT /api/{many}/{{id}}` | 200, the new state, or 404 |\n"
        f"| `DELETE /api/{many}/{{id}}` | 204, or 404 |\n"
    )


def _schema_name(entity: Entity) -> str:
    return "".join(part.capitalize() for part in entity.name.split("_"))


def _operation(name: str, summary: str, responses: Schema) -> Schema:
    return {"operationId": name, "summary": summary, "responses": responses}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str) -> Schema:
    return {"description": "As asked for", "content": {"application/json": {"schema": _ref(name)}}}


def _problem(why: str) -> Schema:
    return {"description": why, "content": {"application/problem+json": {"schema": _ref("Problem")}}}


def _bad_query() -> Schema:
    return {"400": _problem("A filter, limit or offset is not valid")}

"""What the teams that write code write: every file as text, from the templates."""

import json

from models.offline.domain import Entity, Field
from models.offline.job import Files, Job, Writer
from models.offline.rendering import render
from models.offline.samples import change, row

SQL = {"text": "TEXT", "date": "TEXT", "integer": "INTEGER", "number": "REAL", "boolean": "INTEGER"}


def delete_method(*, right: bool) -> str:
    """The body of `Store.delete`: the first version forgets to look whether there was a row."""
    return render("backend/delete.py" if right else "backend/delete_first.py")


def backend(job: Job, *, right: bool = True) -> Files:
    """The service and its unit tests. `right`: without the mistake of the first version."""
    values = job.common()
    files = {
        f"{job.source}/{name}.py": render(f"backend/{name}.py", **values)
        for name in ("__init__", "validation", "service", "server", "__main__")
    }
    files[f"{job.source}/entities.py"] = render(
        "backend/entities.py", entities="".join(entity_literal(entity) for entity in job.domain.entities)
    )
    files[f"{job.source}/store.py"] = render("backend/store.py", delete=delete_method(right=right), **values)
    files[f"{job.source}/app.py"] = app(job, features=job.has("features.py"))
    if not job.has("schema.sql") or "docs/database/model.md" not in job.worktree:
        files[f"{job.source}/schema.sql"] = schema(job)
    if job.answer:
        quoted = "\n".join(f"> {line}" for line in job.answer.splitlines())
        files[f"{job.source}/NOTES.md"] = render(
            "backend/NOTES.md", target=job.target, question=job.question, answer=quoted
        )
    if not job.guest:
        files["pyproject.toml"] = render("backend/pyproject.toml", **values)
        files[".gitignore"] = render("backend/gitignore")
    files["tests/unit/conftest.py"] = render("tests/unit_conftest.py", **values)
    for name in ("store", "service", "server"):
        files[f"tests/unit/test_{name}.py"] = render(f"tests/test_{name}.py", **values)
    return files


def app(job: Job, *, features: bool) -> str:
    """`app.py`, which puts the parts together."""
    return render("features/app.py" if features else "backend/app.py", **job.common())


def entity_literal(entity: Entity) -> str:
    """An entity as Python source."""
    fields = "".join(f"            {_field_literal(field)},\n" for field in entity.fields)
    return (
        f'    "{entity.plural}": Entity(\n'
        f'        name="{entity.name}",\n'
        f'        plural="{entity.plural}",\n'
        f"        fields=(\n{fields}        ),\n"
        "    ),\n"
    )


def _field_literal(field: Field) -> str:
    kind = f', "{field.kind}"' if field.kind != "text" else ""
    required = ", required=True" if field.required else ""
    references = f', references="{field.references}"' if field.references else ""
    return f'Field("{field.name}"{kind}{required}{references})'


def schema(job: Job) -> str:
    """`schema.sql`: every name quoted, since `order` and `group` are words that people keep rows of."""
    tables = "\n".join(_table(entity) for entity in job.domain.entities)
    return render("database/schema.sql", tables=tables, **job.common())


def _table(entity: Entity) -> str:
    columns = ["id INTEGER PRIMARY KEY AUTOINCREMENT"]
    for field in entity.fields:
        column = f'"{field.name}" {SQL[field.kind]}'
        column += " NOT NULL" if field.required else ""
        column += f' CHECK ("{field.name}" IN (0, 1))' if field.kind == "boolean" else ""
        column += f' REFERENCES "{field.references}" (id) ON DELETE SET NULL' if field.references else ""
        columns.append(column)
    body = ",\n".join(f"    {column}" for column in columns)
    return f'CREATE TABLE IF NOT EXISTS "{entity.plural}" (\n{body}\n);\n'


def qa(job: Job) -> Files:
    """The acceptance tests and their report."""
    literal = "".join(
        f'    "{entity.plural}": (\n{_dict(row(entity), 8)}{_dict(change(entity), 8)}    ),\n'
        for entity in job.domain.entities
    )
    rows = "".join(
        f"| {entity.plural} | `{json.dumps(row(entity))}` | `{json.dumps(change(entity))}` |\n"
        for entity in job.domain.entities
    )
    return {
        "tests/acceptance/test_journeys.py": render(
            "tests/test_journeys.py", samples=literal, **job.common()
        ),
        "docs/qa/report.md": render("docs/qa_report.md", rows=rows, **job.common()),
    }


def _dict(values: dict[str, str | int | float | bool], indent: int) -> str:
    pad = " " * indent
    lines = "".join(f'{pad}    "{name}": {_literal(value)},\n' for name, value in values.items())
    return f"{pad}{{\n{lines}{pad}}},\n"


def _literal(value: str | int | float | bool) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


WRITERS: dict[str, Writer] = {
    "backend_engineering": backend,
    "qa_engineering": qa,
}


def preparation(job: Job) -> str:
    """Shell lines before the first test run: in somebody's project, let pytest find `src`."""
    return render("backend/guest.sh").rstrip() if job.guest and job.team == "backend_engineering" else ""


TESTS = {
    "backend_engineering": "tests/unit",
    "frontend_engineering": "tests/web",
    "data_engineering": "tests/data",
    "ml_engineering": "tests/ml",
    "feature_engineering": "tests/integration",
    "qa_engineering": "tests/acceptance",
    "security_engineering": "tests/security",
}
"""Where the tests lie that a team runs before it says that it is done."""

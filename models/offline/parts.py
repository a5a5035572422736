"""What the teams beside the backend write: schema, page, CSV, ranking, and what joins them."""

from models.offline.documents import field_list
from models.offline.job import Files, Job, Writer
from models.offline.naming import spoken
from models.offline.rendering import render
from models.offline.software import app, schema


def database(job: Job) -> Files:
    """The schema and the page that explains it."""
    entities = "".join(
        f"## {spoken(entity.plural).capitalize()}\n\nTable `{entity.plural}`.\n\n{field_list(entity)}\n"
        for entity in job.domain.entities
    )
    return {
        f"{job.source}/schema.sql": schema(job),
        "docs/database/model.md": render("database/model.md", entities=entities, **job.common()),
    }


def frontend(job: Job) -> Files:
    """The page. It asks the service what there is, so it needs no word of the requirement but its title."""
    files = {
        f"{job.source}/web/{name}": render(f"frontend/{name}", **job.common())
        for name in ("index.html", "app.js", "style.css")
    }
    return files | _tests("web", "frontend/test_page.py", job)


def data(job: Job) -> Files:
    """CSV in and out, without the database, so that it stands alone."""
    columns = "".join(
        f'    "{entity.plural}": {{\n'
        + "".join(f'        "{field.name}": "{field.kind}",\n' for field in entity.fields)
        + "    },\n"
        for entity in job.domain.entities
    )
    listed = "".join(
        f"- {spoken(entity.plural)}: `id`, {', '.join(f'`{field.name}`' for field in entity.fields)}\n"
        for entity in job.domain.entities
    )
    return {
        f"{job.source}/data/__init__.py": render("data/__init__.py"),
        f"{job.source}/data/columns.py": render("data/columns.py", columns=columns),
        f"{job.source}/data/transfer.py": render("data/transfer.py"),
        "docs/data/import-export.md": render("data/import-export.md", columns=listed),
    } | _tests("data", "data/test_transfer.py", job)


def ml(job: Job) -> Files:
    """The ranking, without the database, so that it stands alone."""
    return {
        f"{job.source}/ml/__init__.py": render("ml/__init__.py"),
        f"{job.source}/ml/ranking.py": render("ml/ranking.py"),
        "docs/ml/model-card.md": render("ml/model-card.md", **job.common()),
    } | _tests("ml", "ml/test_ranking.py", job)


def features(job: Job) -> Files:
    """Routes that join what is there, and only that."""
    parts = [name for name, path in _PARTS.items() if job.has(path)]
    tests = render("features/test_features.py", **job.common())
    tests += "".join(render(f"features/test_{part}.py") for part in parts)
    lines = [line for part in parts for line in _TOLD[part]] or ["The parts that were built need no joining."]
    files = {
        "tests/integration/test_features.py": tests,
        "docs/features.md": render("features/features.md", features="\n".join(lines) + "\n", **job.common()),
    }
    joined = [part for part in parts if part in _ROUTES]
    if joined:
        files[f"{job.source}/features.py"] = _features_module(job, joined)
        files[f"{job.source}/app.py"] = app(job, features=True)
    return files


_PARTS = {"page": "web/index.html", "data": "data/transfer.py", "ml": "ml/ranking.py"}

_TOLD = {
    "page": ["- `GET /`: the web page."],
    "data": [
        "- `GET /export.csv?entity=…`: a collection as CSV.",
        "- `POST /import?entity=…`: rows from CSV, all of them or none.",
    ],
    "ml": [
        "- `GET /search?q=…`: the rows that fit best.",
        "- `GET /similar?entity=…&id=…`: rows that are like one.",
    ],
}

_ROUTES = {
    "data": {"/export.csv": ("GET", "_export"), "/import": ("POST", "_import")},
    "ml": {"/search": ("GET", "_search"), "/similar": ("GET", "_similar")},
}


def _features_module(job: Job, parts: list[str]) -> str:
    package = job.domain.package
    entities = "ENTITIES, Entity" if "data" in parts else "ENTITIES"
    imports = [f"from {package}.entities import {entities}"]
    if "data" in parts:
        imports.append(f"from {package}.data.columns import COLUMNS")
        imports.append(f"from {package}.data.transfer import ImportFailed, export_csv, import_csv")
        imports.append(f"from {package}.validation import check")
    if "ml" in parts:
        imports.append(f"from {package}.ml.ranking import Ranking")
        imports.append(f"from {package}.store import Row")
    imports.append(f"from {package}.service import Answer, Refused, Request, Service, json_answer")
    routes = "".join(
        f'    service.routes["{path}"] = {{"{method}": lambda request: {handler}(service, request)}}\n'
        for part in parts
        for path, (method, handler) in _ROUTES[part].items()
    )
    handlers = "".join(render(f"features/{part}_handlers.py") for part in parts)
    return render(
        "features/features.py", imports="\n".join(sorted(imports)), routes=routes, handlers=handlers
    )


def _tests(folder: str, template: str, job: Job) -> Files:
    """A test file that also runs where only this team's files are."""
    return {
        f"tests/{folder}/conftest.py": render("tests/conftest.py"),
        f"tests/{folder}/{template.rpartition('/')[2]}": render(template, **job.common()),
    }


WRITERS: dict[str, Writer] = {
    "database_engineering": database,
    "frontend_engineering": frontend,
    "data_engineering": data,
    "ml_engineering": ml,
    "feature_engineering": features,
}

"""The whole pipeline's software: all files, its own tests, its parts alone, CRUD over HTTP."""

import http.client
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.offline.small_factory import FULL
from tests.models.offline.test_script import clean

DEMO = (Path(__file__).parents[3] / "examples/lending-library.md").read_text("utf-8")

DELIVERABLES = {
    "product_management": ["docs/product/brief.md"],
    "business_analysis": ["docs/analysis/requirements.md", "docs/analysis/glossary.md"],
    "solution_architecture": ["docs/architecture/overview.md", "docs/adr/*.md"],
    "ux_ui_design": ["docs/design/experience.md"],
    "compliance_legal": ["docs/compliance/assessment.md"],
    "api_design": ["docs/api/openapi.json", "docs/api/guide.md"],
    "database_engineering": ["src/*/schema.sql", "docs/database/model.md"],
    "backend_engineering": ["src/*/*.py", "tests/unit/test_*.py", "pyproject.toml"],
    "frontend_engineering": ["src/*/web/*", "tests/web/test_*.py"],
    "data_engineering": ["src/*/data/*.py", "tests/data/test_*.py", "docs/data/*.md"],
    "ml_engineering": ["src/*/ml/*.py", "tests/ml/test_*.py", "docs/ml/model-card.md"],
    "feature_engineering": ["tests/integration/test_*.py", "docs/features.md"],
    "qa_engineering": ["tests/acceptance/test_*.py", "docs/qa/report.md"],
    "security_engineering": ["docs/security/threat-model.md", "tests/security/test_*.py"],
    "devops_infrastructure": ["Dockerfile", ".github/workflows/ci.yml", "compose.yaml"],
    "sre_operations": ["docs/operations/runbook.md", "docs/operations/slo.md"],
    "documentation": ["README.md", "docs/guide/user-guide.md"],
}


def links_hold(folder: Path) -> None:
    for page in folder.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.S)):
            assert "://" in target or (page.parent / target).exists(), f"{page}: {target}"


def walk(folder: Path, package: str) -> None:
    """Create, list, get, update and delete in every collection that the service itself names."""
    command = [sys.executable, "-B", "-m", package, "--port", "0", "--database", str(folder / "walk.db")]
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as program:
        client = http.client.HTTPConnection("127.0.0.1", int(program.stdout.readline().rpartition(":")[2]))

        def ask(method, path, row=None):
            body = json.dumps(row) if row is not None else None
            client.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = client.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else None

        for entity in ask("GET", "/api")[1]["entities"]:
            values = {"text": "x", "date": "2024-01-02", "integer": 1, "number": 1.5, "boolean": True}
            links = [field["name"] for field in entity["fields"] if field["name"].endswith("_id")]
            row = {f["name"]: values[f["kind"]] for f in entity["fields"] if f["name"] not in links}
            status, created = ask("POST", entity["url"], row)
            assert status == 201
            one = f"{entity['url']}/{created['id']}"
            assert ask("GET", entity["url"])[1]["items"] == [created]
            assert ask("GET", one) == (200, created)
            assert ask("PATCH", one, row) == (200, created)
            assert ask("DELETE", one) == (204, None)
            assert ask("DELETE", one)[0] == 404
        client.close()
        program.terminate()
        assert program.wait(10) == 0
    (folder / "walk.db").unlink()


@pytest.mark.slow
def test_the_full_pipeline_builds_all_that_the_pack_wants(factory, tmp_path):
    made = factory(DEMO)
    made.run(FULL)
    assert {stage.result["status"] for stage in made.stages.values()} == {"COMPLETE"}
    for globs in DELIVERABLES.values():
        for glob in globs:
            found = [path for path in tmp_path.glob(glob) if path.is_file()]
            assert found, glob
            assert any(path.stat().st_size for path in found)
    clean(tmp_path)
    links_hold(tmp_path)
    walk(tmp_path, "lending_library")
    asked = {
        team: [one["target_team"] for one in stage.asked]
        for team, stage in made.stages.items()
        if stage.asked
    }
    assert asked == {"compliance_legal": ["person"], "backend_engineering": ["database_engineering"]}

    made.run(FULL, round=2, comment="Loans should also have a fee. Also track repairs.")
    assert {stage.result["status"] for stage in made.stages.values()} == {"COMPLETE"}
    assert not any(stage.asked for stage in made.stages.values())
    assert "/api/repairs" in (tmp_path / "docs/api/openapi.json").read_text()
    assert '"fee" REAL' in (tmp_path / "src/lending_library/schema.sql").read_text()
    assert "features.register" in (tmp_path / "src/lending_library/app.py").read_text()
    assert "Yes." in (tmp_path / "docs/compliance/assessment.md").read_text()
    clean(tmp_path)
    links_hold(tmp_path)
    walk(tmp_path, "lending_library")


@pytest.mark.parametrize("team", ["frontend_engineering", "data_engineering", "ml_engineering"])
def test_a_team_beside_the_backend_can_test_its_part_alone(factory, team):
    assert factory(DEMO).stage(team).result["status"] == "COMPLETE"


@pytest.mark.slow
@pytest.mark.parametrize("kept", [(), ("data_engineering",), ("ml_engineering",), ("frontend_engineering",)])
def test_only_the_parts_that_were_built_are_joined(factory, tmp_path, kept):
    optional = {"frontend_engineering", "data_engineering", "ml_engineering"} - set(kept)
    later = {
        "sre_operations",
        "documentation",
        "qa_engineering",
        "security_engineering",
        "product_management",
    }
    made = factory("Guests book rooms. A room has a number and a price.")
    made.run(tuple(team for team in FULL if team not in optional | later))
    assert {stage.result["status"] for stage in made.stages.values()} == {"COMPLETE"}
    clean(tmp_path)


def test_the_api_document_names_every_path_and_each_reference_exists(factory, tmp_path):
    factory("A class has a name. An order has a group.").stage("api_design")
    text = (tmp_path / "docs/api/openapi.json").read_text()
    document = json.loads(text)
    assert set(document["paths"]) == {
        "/health", "/api/classes", "/api/classes/{id}", "/api/orders", "/api/orders/{id}",
    }  # fmt: skip
    names = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert names <= set(document["components"]["schemas"])
    operations = re.findall(r'"operationId": "(\w+)"', text)
    assert len(set(operations)) == len(operations)

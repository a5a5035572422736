"""What lies in deploy/ fits what the service is: its metrics, its runbook, units that parse."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.service_doctor import checks
from tests.api.conftest import TOKEN, OpenServed

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
METRIC = re.compile(r"\bfactory_[a-z_]+")


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    (group,) = yaml.safe_load((DEPLOY / "prometheus" / "factory.rules.yml").read_text())["groups"]
    return group["rules"]


def queries() -> list[str]:
    """Every query of the alerts and of the dashboard."""
    board = json.loads((DEPLOY / "grafana" / "factory.json").read_text())
    return [rule["expr"] for rule in rules()] + [
        target["expr"] for panel in board["panels"] for target in panel["targets"]
    ]


async def test_every_query_asks_for_metrics_that_there_are(open_served: OpenServed) -> None:
    async with open_served() as served:
        registry = served.app.state.metrics.registry
        known = {f"{family.name}" for family in registry.collect()}
    ends = ("_total", "_bucket", "_count", "_sum")
    for query in queries():
        for name in METRIC.findall(query):
            stems = {name, *(name.removesuffix(end) for end in ends)}
            assert stems & known, f"{name} in {query}"


def test_every_alert_leads_to_a_section_of_the_runbook() -> None:
    page = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    for rule in rules():
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert file == "docs/service.md"
        assert anchor in anchors, anchor


def test_no_two_panels_stand_in_one_place() -> None:
    board = json.loads((DEPLOY / "grafana" / "factory.json").read_text())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in board["panels"]}) == len(places)


def test_compose_names_what_it_uses() -> None:
    told = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert {"postgres", "ollama", "serve", "worker"} <= set(told["services"])
    for service in told["services"].values():
        for volume in service.get("volumes", ()):
            assert volume.split(":")[0] in told["volumes"]
        assert set(service.get("depends_on", {})) <= set(told["services"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_the_proxy_holds_no_event_back_and_believes_no_client() -> None:
    text = (DEPLOY / "nginx" / "factory.conf").read_text()
    assert text.count("{") == text.count("}")
    for line in ("proxy_buffering    off;", "proxy_set_header X-Forwarded-For   $remote_addr;"):
        assert line in text
    assert "proxy_add_x_forwarded_for" not in text


@pytest.mark.skipif(
    shutil.which("nginx") is None or shutil.which("openssl") is None,
    reason="there is no nginx or openssl here",
)
def test_nginx_reads_the_proxys_settings(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    wanted = [*made.split(), "-subj", "/CN=factory.example.org", "-keyout", key, "-out", cert]
    subprocess.run(wanted, capture_output=True, check=True)
    site = (DEPLOY / "nginx" / "factory.conf").read_text()
    for name, path in (("fullchain", cert), ("privkey", key)):
        site = site.replace(f"/etc/letsencrypt/live/factory.example.org/{name}.pem", str(path))
    # Not the ports of this machine: they may be taken, or not ours.
    site = re.sub(r"^    listen \[::\].*\n", "", site, flags=re.MULTILINE).replace(
        "listen ", "listen 127.0.0.1:1"
    )
    (tmp_path / "site.conf").write_text(site)
    whole = tmp_path / "nginx.conf"
    temporary = [f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy")]
    temporary += [f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("fastcgi", "uwsgi", "scgi")]
    whole.write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
        f"http {{ access_log off; {' '.join(temporary)} include {tmp_path}/site.conf; }}\n"
    )
    said = subprocess.run(["nginx", "-t", "-c", whole], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_reads_the_units(tmp_path: Path) -> None:
    paths: list[Path] = []
    for unit in sorted((DEPLOY / "systemd").iterdir()):
        path = tmp_path / unit.name
        path.write_text(unit.read_text().replace("/opt/factory/.venv/bin/factory", "/bin/true"))
        paths.append(path)
    assert len(paths) == 4
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "factory" not in said.stderr


async def test_a_doctor_looks_at_a_service(open_served: OpenServed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACTORY_TOKEN", raising=False)
    async with open_served() as served:
        found = {check.name: check for check in await checks(served.url)}
        assert {found[name].state for name in ("service", "database", "migrations", "queue", "models")} == {
            "ok"
        }
        assert (found["token"].state, "FACTORY_TOKEN" in found["token"].todo) == ("warning", True)
        monkeypatch.setenv("FACTORY_TOKEN", TOKEN)
        found = {check.name: check for check in await checks(served.url)}
        assert (found["token"].state, found["token"].detail) == ("ok", "owner, director")
        await served.factory.db.pool.close()
        served.app.state.ready._last = None
        monkeypatch.delenv("FACTORY_TOKEN")
        found = {check.name: check for check in await checks(served.url)}
        assert found["database"].state == "missing"
    (gone,) = await checks(served.url)
    assert (gone.state, "does not answer" in gone.detail) == ("missing", True)

"""Mistakes in compose files that need no Docker: our own rules, each a mistake or a door left open."""

import posixpath
import re
from collections.abc import Iterator

from workspace.checks import marked
from workspace.checks.marked import Node
from workspace.checks.result import CheckResult, Finding, Findings, idle
from workspace.errors import WorkspaceError
from workspace.files import Files

_NAMED = re.compile(r"(^|/)(docker-)?compose(\.[\w-]+)*\.ya?ml$")
_TOP = frozenset({"version", "name", "services", "networks", "volumes", "configs", "secrets", "include"})
_SECRET = re.compile(r"(password|passwd|secret|token|api_?key|private_?key)", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"^$|^\$|change|example|^/run/secrets/", re.IGNORECASE)
_LARGEST = 200_000


def look(files: Files) -> Findings | CheckResult:
    """What is wrong in each compose file."""
    everything = files.list()
    paths = [path for path in everything if _NAMED.search(path)]
    if not paths:
        return idle("compose", "there is no compose file")
    problems: list[Finding] = []
    for path in paths:
        try:
            document = marked.read(files.read(path, limit=_LARGEST))
        except marked.NoYaml as error:
            problems.append(Finding(path, error.line, str(error)))
        except WorkspaceError as error:
            problems.append(Finding(path, 1, error.what))
        else:
            # A file of overrides completes another one, so what is missing in it may stand there.
            whole = posixpath.basename(path) in _WHOLE
            problems += [Finding(path, *fault) for fault in faults(document, path, everything, whole=whole)]
    return Findings(problems, f"{', '.join(paths)[:200]}: nothing found", each=15)


_WHOLE = frozenset({"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"})


def faults(
    document: Node, path: str, everything: list[str], *, whole: bool = True
) -> Iterator[tuple[int, str]]:
    """Line and fault, in order."""
    services = document.get("services")
    # What it includes may declare what is referred to here; what is said here is looked at all the same.
    alone = whole and document.get("include") is None
    if services is None or not services.items:
        if alone:
            yield document.line, "there are no services"
        return
    for key, value in document.items.items():
        if key not in _TOP and not key.startswith("x-"):
            yield value.line, f"{key[:40]!a} is no part of a compose file"
    yield from ((document.line, f"{key[:40]!a} stands twice") for key in (*document.twice, *services.twice))
    published: dict[str, str] = {}
    for name, service in services.items.items():
        for line, what in _service(service, path, everything, whole):
            yield line, f"{name[:40]}: {what}"
        yield from _references(name, service, document, services, alone)
        for port in _entries(service.get("ports")):
            host = _published(port)
            if host and host in published and published[host] != name:
                yield port.line, f"{name[:40]}: the port {host[:40]} is {published[host][:40]}'s already"
            published.setdefault(host, name)


def _service(service: Node, path: str, everything: list[str], whole: bool) -> Iterator[tuple[int, str]]:
    image, build = service.get("image"), service.get("build")
    yield from ((service.line, f"{key[:40]!a} stands twice") for key in service.twice)
    if whole and image is None and build is None and service.get("extends") is None:
        yield service.line, "it has neither image nor build"
    if image is not None and build is None:
        tag = image.text.rpartition("/")[2].partition(":")[2]
        if tag in ("", "latest") and "$" not in image.text and "@sha256:" not in image.text:
            yield image.line, f"{image.text[:80]} has no fixed version"
    context = (build.get("context") or build) if build is not None else None
    if context is not None and context.text and not _is_there(context.text, path, everything):
        yield context.line, f"the build's folder {context.text[:80]} is not in the project"
    yield from _doors(service)
    yield from _environment(service.get("environment"))


def _doors(service: Node) -> Iterator[tuple[int, str]]:
    for key, wrong, why in (
        ("privileged", "true", "privileged: it may do on the host what root may"),
        ("network_mode", "host", "network_mode host: nothing separates it from the host's network"),
        ("pid", "host", "pid host: it sees and signals the host's processes"),
        ("ipc", "host", "ipc host: it shares the host's memory"),
    ):
        value = service.get(key)
        if value is not None and value.text.lower() == wrong:
            yield value.line, why
    for volume in _entries(service.get("volumes")):
        source = volume.text.split(":")[0] if volume.text else (volume.get("source") or volume).text
        if source.endswith("docker.sock"):
            yield volume.line, "the Docker socket inside is root on the host"
        elif source == "/":
            yield volume.line, "the host's whole disk is mounted"


def _environment(environment: Node | None) -> Iterator[tuple[int, str]]:
    if environment is None:
        return
    pairs = [(name, value.text, value.line) for name, value in environment.items.items()]
    for entry in environment.entries:
        name, _, value = entry.text.partition("=")
        pairs.append((name, value, entry.line))
    for name, value, line in pairs:
        if _SECRET.search(name) and not name.endswith("_FILE") and not _PLACEHOLDER.search(value):
            yield line, f"{name[:60]} holds a secret in plain text"


def _references(
    name: str, service: Node, document: Node, services: Node, whole: bool
) -> Iterator[tuple[int, str]]:
    if not whole:
        return
    for each, line in _names(service.get("depends_on")):
        if each not in services.items:
            yield line, f"{name[:40]}: depends_on {each[:40]}, which is no service"
    for kind in ("networks", "secrets", "configs"):
        declared = document.get(kind)
        for each, line in _names(service.get(kind)):
            if each != "default" and (declared is None or each not in declared.items):
                yield line, f"{name[:40]}: {kind} {each[:40]} is declared nowhere"
    declared = document.get("volumes")
    for volume in _entries(service.get("volumes")):
        source = volume.text.split(":")[0] if ":" in volume.text else ""
        if re.fullmatch(r"[A-Za-z0-9][\w.-]*", source) and (declared is None or source not in declared.items):
            yield volume.line, f"{name[:40]}: the volume {source[:40]} is declared nowhere"


def _names(node: Node | None) -> list[tuple[str, int]]:
    if node is None:
        return []
    listed = [((each.get("source") or each).text, each.line) for each in node.entries]
    return [*listed, *((key, value.line) for key, value in node.items.items())]


def _entries(node: Node | None) -> list[Node]:
    return node.entries if node is not None else []


def _published(port: Node) -> str:
    """Address and port on the host; empty where none is fixed."""
    if port.text:
        parts = port.text.partition("/")[0].rsplit(":", 2)
        return ":".join(parts[:-1]) if len(parts) > 1 and "$" not in port.text else ""
    published = port.get("published")
    return published.text if published is not None else ""


def _is_there(folder: str, path: str, everything: list[str]) -> bool:
    if "$" in folder or "://" in folder or folder.startswith(("/", "~", "git@")):
        return True
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), folder))
    return place == "." or any(each == place or each.startswith(f"{place}/") for each in everything)

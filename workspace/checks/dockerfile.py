"""Mistakes in Dockerfiles that need no building: our own rules, each a mistake and none a matter of taste."""

import json
import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from workspace.checks.result import CheckResult, Finding, Findings, idle
from workspace.errors import WorkspaceError
from workspace.files import Files

_NAMED = re.compile(r"(^|/)(?:(?:Docker|Container)file(?:\.[\w.-]+)?|[\w.-]+\.(?:Docker|docker)file)$")
_INSTRUCTIONS = frozenset(
    (
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"),
        *("MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    )
)
_SECRET = re.compile(r"(password|passwd|secret|token|api_?key|private_?key)", re.IGNORECASE)
_PIPED = re.compile(r"\b(curl|wget)\b[^|;&]*\|\s*(sudo\s+)?(ba|z|da)?sh\b")
_LARGEST = 200_000


@dataclass(frozen=True, slots=True)
class _Instruction:
    line: int
    word: str
    rest: str


def look(files: Files) -> Findings | CheckResult:
    """What is wrong in each Dockerfile."""
    paths = [path for path in files.list() if _NAMED.search(path) and not path.endswith(".dockerignore")]
    if not paths:
        return idle("dockerfile", "there is no Dockerfile")
    everything = files.list()
    problems: list[Finding] = []
    for path in paths:
        try:
            text = files.read(path, limit=_LARGEST)
        except WorkspaceError as error:
            problems.append(Finding(path, 1, error.what))
            continue
        problems += [Finding(path, line, what) for line, what in faults(text, path, everything)]
    return Findings(problems, f"{', '.join(paths)[:200]}: nothing found", each=15)


def faults(text: str, path: str, everything: list[str]) -> Iterator[tuple[int, str]]:
    """Line and fault, in order."""
    stages: list[str] = []
    user: tuple[int, str] | None = None
    begun: set[str] = set()
    last_from = 0
    instructions = list(_instructions(text))
    if not any(each.word == "FROM" for each in instructions):
        yield 1, "there is no FROM"
        return
    for each in instructions:
        if not last_from and each.word not in ("FROM", "ARG"):
            yield each.line, f"{each.word[:30]} stands before FROM"
        elif each.word == "FROM":
            yield from _from(each, stages)
            user, begun, last_from = None, set[str](), each.line
        elif each.word == "USER":
            user = (each.line, each.rest.split(":")[0].strip())
        else:
            yield from _alone(each, path, everything)
        if each.word in ("CMD", "ENTRYPOINT"):
            if each.word in begun:
                yield each.line, f"a second {each.word} in one stage: the first counts for nothing"
            begun.add(each.word)
    if user is None:
        yield last_from, "no USER in the last stage: it runs as root"
    elif user[1] in ("root", "0"):
        yield user[0], "the last USER is root"


def _alone(each: _Instruction, path: str, everything: list[str]) -> Iterator[tuple[int, str]]:
    """The faults of an instruction that can be seen without the others."""
    if each.word not in _INSTRUCTIONS:
        yield each.line, f"{each.word[:30]!a} is no instruction"
    elif each.word in ("CMD", "ENTRYPOINT"):
        yield from _form(each)
    elif each.word in ("COPY", "ADD"):
        yield from _copied(each, path, everything)
    elif each.word == "RUN":
        yield from _run(each)
    elif each.word in ("ENV", "ARG"):
        yield from _secret(each)
    elif each.word == "WORKDIR" and not re.match(r"""["']?(/|\$|\\|\w:)""", each.rest):
        yield each.line, "WORKDIR is relative: it depends on what stands before it"


def _instructions(text: str) -> Iterator[_Instruction]:
    """The instructions with continued lines and here-documents joined."""
    lines = text.splitlines()
    escape = "`" if re.match(r"#\s*escape\s*=\s*`", text.lstrip(), re.IGNORECASE) else "\\"
    at = 0
    while at < len(lines):
        begun, joined = at + 1, lines[at].strip()
        at += 1
        if not joined or joined.startswith("#"):
            continue
        while joined.endswith(escape) and at < len(lines):
            more = lines[at].strip()
            at += 1
            if not more.startswith("#"):
                joined = f"{joined[:-1].rstrip()} {more}"
        for mark in re.findall(r"<<-?[\"']?(\w+)[\"']?", joined):
            while at < len(lines) and lines[at].strip() != mark:
                joined += f"; {lines[at].strip()}"
                at += 1
            at += 1
        word, _, rest = joined.partition(" ")
        yield _Instruction(begun, word.upper(), rest.strip())


def _from(each: _Instruction, stages: list[str]) -> Iterator[tuple[int, str]]:
    words = [word for word in each.rest.split() if not word.startswith("--")]
    if not words:
        yield each.line, "FROM names no image"
        return
    image = words[0]
    known = image.lower() in stages or image == "scratch" or "$" in image or "@sha256:" in image
    tag = image.rpartition("/")[2].partition(":")[2]
    if not known and tag in ("", "latest"):
        yield each.line, f"{image[:80]} has no fixed version: every build may give another product"
    if len(words) == 3 and words[1].lower() == "as":
        stages.append(words[2].lower())


def _form(each: _Instruction) -> Iterator[tuple[int, str]]:
    if each.rest.startswith("["):
        try:
            good = isinstance(json.loads(each.rest), list)
        except (ValueError, RecursionError):
            good = False
        if not good:
            yield (
                each.line,
                f"{each.word} looks like a list and is no JSON: a shell would get it as it stands",
            )


def _copied(each: _Instruction, path: str, everything: list[str]) -> Iterator[tuple[int, str]]:
    try:
        words = shlex.split(each.rest) if not each.rest.startswith("[") else json.loads(each.rest)
    except (ValueError, RecursionError):
        yield each.line, f"{each.word} cannot be read"
        return
    words = [str(word) for word in words]
    options = [word for word in words if word.startswith("--")]
    sources = [word for word in words if not word.startswith("--")][:-1]
    if not sources:
        yield each.line, f"{each.word} needs a source and a destination"
    if any(option.startswith("--from=") for option in options) or "<<" in each.rest:
        return
    for source in sources:
        if source.startswith(("http://", "https://")):
            if not any(option.startswith("--checksum=") for option in options):
                yield each.line, "what is fetched from an address has no --checksum"
        elif not re.search(r"[*?$\[]", source) and not _is_there(source, path, everything):
            yield each.line, f"{source[:80]} is not in the project"


def _is_there(source: str, path: str, everything: list[str]) -> bool:
    """Whether the source lies in the project, seen from its top or from the Dockerfile's folder."""
    plain = posixpath.normpath(source.lstrip("/") or ".")
    for top in ("", posixpath.dirname(path)):
        place = posixpath.normpath(posixpath.join(top, plain))
        if place == "." or any(each == place or each.startswith(f"{place}/") for each in everything):
            return True
    return False


def _run(each: _Instruction) -> Iterator[tuple[int, str]]:
    if _PIPED.search(each.rest):
        yield each.line, "what is fetched is run unseen: a download is piped into a shell"
    for part in re.split(r"&&|;|\|\|", each.rest):
        if re.search(r"\bapt(-get)?\s+(\S+\s+)*install\b", part) and not re.search(
            r"\s-\w*y|--yes|--assume-yes|-qq", part
        ):
            yield each.line, "apt-get install without -y waits for an answer that never comes"


def _secret(each: _Instruction) -> Iterator[tuple[int, str]]:
    for name, value in re.findall(r"([A-Za-z_]\w*)=(\S+)", each.rest):
        if _SECRET.search(name) and not value.strip("\"'").startswith("$") and value.strip("\"'"):
            yield each.line, f"{each.word} {name[:60]} puts a secret into the image"

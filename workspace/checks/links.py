"""Links between the project's own Markdown pages: the file is there, and so is the heading."""

import re
from collections.abc import Iterator
from posixpath import dirname, normpath
from urllib.parse import unquote

from workspace.checks.result import Finding, Findings
from workspace.errors import FileTooBig, NotText, PathRefused
from workspace.files import Files

_INLINE = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+[\"'(][^)]*)?\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]^]+\]:\s*<?(\S+?)>?(?:\s|$)")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_ANCHOR = re.compile(r"<[^>]+\s(?:id|name)=[\"']([^\"']+)[\"']", re.IGNORECASE)
_ELSEWHERE = re.compile(r"^([a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)


def look(files: Files) -> Findings:
    """The relative links in Markdown files that lead to no file, or to no heading of it."""
    everything = frozenset(files.list())
    folders = {"", *(parent for path in everything for parent in _parents(path))}
    anchors: dict[str, frozenset[str]] = {}
    problems: list[Finding] = []
    pages = sorted(path for path in everything if path.lower().endswith(".md"))
    links = 0
    for page in pages:
        text = _text(files, page)
        if text is None:
            problems.append(Finding(page, 1, "cannot be read as text"))
            continue
        for number, target in links_in(text):
            links += 1
            place, _, anchor = target.partition("#")
            path = _resolved(page, unquote(place))
            wrong = ""
            if path is None:
                wrong = "leads out of the project"
            elif path not in everything and path not in folders:
                wrong = "is not there"
            elif anchor and path.lower().endswith(".md"):
                if path not in anchors:
                    anchors[path] = anchors_in(_text(files, path) or "")
                if unquote(anchor).lower() not in anchors[path]:
                    wrong = f"names no heading of {path}"
            if wrong:
                problems.append(Finding(page, number, f"{target[:120]} {wrong}"))
    return Findings(problems, f"{links} links in {len(pages)} pages lead somewhere")


def links_in(text: str) -> Iterator[tuple[int, str]]:
    """Line and target of every link that stays in the project."""
    for number, line in _prose(text):
        line = _CODE.sub("", line)
        targets = [match[1] for match in _INLINE.finditer(line)]
        if reference := _REFERENCE.match(line):
            targets.append(reference[1])
        for target in targets:
            if not _ELSEWHERE.match(target):
                yield number, target


def anchors_in(text: str) -> frozenset[str]:
    """The anchors that a page has, as GitHub makes them from headings."""
    anchors: set[str] = set()
    seen: dict[str, int] = {}
    for _, line in _prose(text):
        anchors.update(name.lower() for name in _ANCHOR.findall(line))
        if heading := _HEADING.match(line):
            words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            count = seen.get(slug, 0)
            seen[slug] = count + 1
            anchors.add(f"{slug}-{count}" if count else slug)
    return frozenset(anchors)


def _prose(text: str) -> Iterator[tuple[int, str]]:
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence):
                fence = ""
        elif mark:
            fence = mark[1]
        else:
            yield number, line[:5000]


def _resolved(page: str, target: str) -> str | None:
    if not target:
        return page
    base = "" if target.startswith("/") else dirname(page)
    path = normpath(f"{base}/{target.lstrip('/')}".lstrip("/"))
    if path == ".." or path.startswith("../"):
        return None
    return "" if path == "." else path


def _parents(path: str) -> Iterator[str]:
    while path := dirname(path):
        yield path


def _text(files: Files, path: str) -> str | None:
    try:
        return files.read(path)
    except (NotText, FileTooBig, PathRefused):
        return None

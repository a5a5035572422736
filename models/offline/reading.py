"""What the messages say: the brief, and what has happened since. The only input of the offline model."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, how deep it is, and the lines below it up to the next heading of any depth."""

    depth: int
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """One human message: front matter and sections."""

    matter: dict[str, str]
    text: str
    sections: tuple[Section, ...]

    def section(self, title: str) -> str:
        """The text below a heading; empty without it."""
        return next((one.text for one in self.sections if one.title.lower() == title.lower()), "")

    def below(self, title: str) -> str:
        """Everything from a heading to the end, whatever it contains (a diff, files)."""
        found = re.search(rf"^#+ {re.escape(title)}[^\n]*\n(.*)", self.text, re.S | re.M)
        return found[1] if found else ""

    def children(self, title: str) -> list[Section]:
        """The sections inside of one."""
        inside: list[Section] = []
        depth = 0
        for one in self.sections:
            if depth and one.depth <= depth:
                break
            if depth:
                inside.append(one)
            elif one.title.lower() == title.lower():
                depth = one.depth
        return inside


@dataclass(frozen=True, slots=True)
class Observation:
    """What an action came to: its name, the heading's remark (`exit 1`) and its output."""

    action: str
    remark: str
    output: str

    @property
    def failed(self) -> bool:
        """Whether the action did not do what was asked."""
        code = re.search(r"exit(?: code)?[ :]+(-?\d+)", self.remark)
        if code and code[1] != "0":
            return True
        return "error" in self.remark.lower() or self.output.lstrip().lower().startswith(
            ("error:", "refused:")
        )


def unquote(text: str) -> str:
    """The text that was quoted with `> `."""
    lines = [re.sub(r"^> ?", "", line) for line in text.splitlines() if line.startswith(">")]
    return "\n".join(lines).strip()


def bullets(text: str) -> list[str]:
    """The items of a list, without their marks and code ticks."""
    return [line[2:].strip().strip("`") for line in text.splitlines() if line.startswith(("- ", "* "))]


def read_page(text: str) -> Page:
    """Front matter and sections of a message; headings inside of fences are no headings."""
    matter: dict[str, str] = {}
    found = re.match(r"---\n(.*?)\n---\n?", text, re.S)
    if found:
        for line in found[1].splitlines():
            key, _, value = line.partition(":")
            matter[key.strip()] = value.strip()
        text = text[found.end() :]
    sections: list[Section] = []
    depth, title, lines, fence = 0, "", list[str](), ""
    for line in text.splitlines():
        mark = re.match(r"(`{3,}|~{3,})(.*)", line)
        if fence:
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                fence = ""
        elif mark:
            fence = mark[1]
        heading = None if fence or mark else re.match(r"(#{1,4}) (.+)", line)
        if heading:
            sections.append(Section(depth, title, "\n".join(lines).strip()))
            depth, title, lines = len(heading[1]), heading[2].strip(), []
        else:
            lines.append(line)
    sections.append(Section(depth, title, "\n".join(lines).strip()))
    return Page(matter, text, tuple(sections))


@dataclass(frozen=True, slots=True)
class Conversation:
    """A brief and the turns that followed it."""

    brief: Page
    own: tuple[str, ...]
    """What this model said so far, native tool calls appended as text."""
    heard: tuple[tuple[int, Page], ...]
    """Later messages, each with the number of own turns before it."""

    @property
    def team(self) -> str:
        return self.brief.matter.get("team", "")

    @property
    def round(self) -> int:
        tail = self.brief.matter.get("objective", "").rpartition("/")[2]
        return int(tail) if tail.isdigit() else 1

    @property
    def call(self) -> str:
        """The kind of the newest message that has one: a work conversation ends with a report."""
        pages = [self.brief, *(page for _, page in self.heard)]
        return next((page.matter["call"] for page in reversed(pages) if "call" in page.matter), "")

    @property
    def requirement(self) -> str:
        return unquote(self.brief.section("Requirement"))

    @property
    def comment(self) -> str:
        """What a review asked for: this round's comment."""
        return unquote(self.brief.section("Review comment"))

    @property
    def changes(self) -> bool:
        """Whether this is about a change of what exists."""
        return self.brief.matter.get("kind") == "change"

    @property
    def history(self) -> list[str]:
        """The requirements by which the product came about, the oldest first."""
        return [unquote(one.text) for one in self.brief.children("Product so far")]

    @property
    def named(self) -> list[str]:
        """The files of this team that the change names."""
        return bullets(self.brief.section("Named in the change"))

    @property
    def deliverables(self) -> list[str]:
        return bullets(self.brief.section("Deliverables"))

    @property
    def worktree(self) -> frozenset[str]:
        """Every file that the brief names: in the worktree or from a stage before."""
        files = bullets(self.brief.section("Files in the worktree"))
        for one in self.brief.children("Upstream results"):
            files += [item for item in bullets(one.text) if "/" in item or "." in item]
        return frozenset(files)

    @property
    def upstream(self) -> frozenset[str]:
        """The teams whose results are in the brief."""
        return frozenset(one.title.split()[0] for one in self.brief.children("Upstream results"))

    def said(self, action: str) -> int:
        """In how many own turns this action stands: as a fenced block or as a native call."""
        return sum(1 for text in self.own if re.search(rf"^`{{3,}}(?:call )?{action}", text, re.M))

    def observations(self, action: str = "") -> list[Observation]:
        """Every observation so far, or those of one action."""
        found = [one for _, page in self.heard for one in _observations(page)]
        return [one for one in found if not action or one.action == action]

    def last(self, key: str) -> Page | None:
        """The newest message, if its front matter has this mark and it was not answered yet."""
        if not self.heard:
            return None
        turn, page = self.heard[-1]
        return page if turn == len(self.own) and page.matter.get(key) == "true" else None

    def count(self, key: str) -> int:
        """How many messages have this mark."""
        return sum(1 for _, page in self.heard if page.matter.get(key) == "true")


def _observations(page: Page) -> list[Observation]:
    found: list[Observation] = []
    for one in page.sections:
        heading = re.match(r"Observation \d+: ([a-z_]+)(?:[^(]*\((.*)\))?", one.title)
        if heading:
            found.append(Observation(heading[1], heading[2] or "", _unfenced(one.text)))
    return found


def _unfenced(text: str) -> str:
    found = re.match(r"(`{3,}|~{3,})[^\n]*\n(.*?)\n?\1\s*\Z", text.strip(), re.S)
    return found[2] if found else text


def read(messages: Sequence[BaseMessage]) -> Conversation:
    """The conversation in the messages, however they were rendered."""
    own: list[str] = []
    pages: list[tuple[int, Page]] = []
    for message in messages:
        if isinstance(message, SystemMessage):
            continue
        if isinstance(message, AIMessage):
            calls = [
                f"```call {call['name']}\n{json.dumps(call['args'])}\n```" for call in message.tool_calls
            ]
            own.append("\n".join([message.text, *calls]))
        elif message.type == "tool":
            name = message.name or "tool"
            failed = " (error)" if getattr(message, "status", "") == "error" else ""
            section = Section(2, f"Observation 1: {name}{failed}", message.text)
            matter = {"call": "work", "observation": "true"}
            pages.append((len(own), Page(matter, message.text, (section,))))
        else:
            pages.append((len(own), read_page(message.text)))
    first = pages[0][1] if pages else read_page("")
    return Conversation(first, tuple(own), tuple(pages[1:]))

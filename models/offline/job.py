"""One team's objective as its writer sees it: the domain, the round, what is already there."""

from collections.abc import Callable
from dataclasses import dataclass

from models.offline.domain import Domain, parse
from models.offline.naming import spoken
from models.offline.reading import Conversation
from models.offline.rendering import sentence

Files = dict[str, str]


@dataclass(frozen=True, slots=True)
class Job:
    """What to write, and for whom."""

    domain: Domain
    requirement: str
    team: str
    round: int
    comments: str
    """All that reviews asked for so far, as far as the messages say it."""
    worktree: frozenset[str]
    deliverables: tuple[str, ...]
    target: str = ""
    """Whom this team asked, if it did."""
    question: str = ""
    answer: str = ""

    @property
    def source(self) -> str:
        """The package's folder, `src/<package>`."""
        return f"src/{self.domain.package}"

    def has(self, path: str) -> bool:
        """Whether the package already has this file."""
        return f"{self.source}/{path}" in self.worktree

    @property
    def guest(self) -> bool:
        """Whether the repository was somebody's before: its own project file is not ours to replace."""
        return "pyproject.toml" in self.worktree and not self.has("entities.py")

    @property
    def kept(self) -> str:
        """`members, books and loans`."""
        return sentence([spoken(entity.plural) for entity in self.domain.entities])

    def common(self) -> dict[str, str]:
        """The values that most templates use."""
        return {
            "title": self.domain.title,
            "package": self.domain.package,
            "distribution": self.domain.package.replace("_", "-"),
            "kept": self.kept,
            "first": self.domain.entities[0].plural,
        }


Writer = Callable[[Job], Files]


def job_of(
    conversation: Conversation, comments: str, *, target: str = "", question: str = "", answer: str = ""
) -> Job:
    """The job that a conversation's brief describes."""
    return Job(
        domain=parse(conversation.requirement, comments),
        requirement=conversation.requirement,
        team=conversation.team,
        round=conversation.round,
        comments=comments,
        worktree=conversation.worktree,
        deliverables=tuple(conversation.deliverables),
        target=target,
        question=question,
        answer=answer,
    )

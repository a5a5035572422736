"""What a team is: the frozen shape behind a `team.toml` and the texts beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["author", "reviewer", "specialist"]
"""author: does the work (every team has exactly one). reviewer: reads the author's change with own
instructions. specialist: answers for a part of the work when asked."""

SandboxPolicy = str
"""What the team's shell may do, by a name of workspace/policies.toml. none: no shell at all."""


class Limits(BaseModel):
    """The bound of each loop a stage has; reaching one escalates, never loops."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    iterations: int = Field(24, ge=1, le=200)
    """Model calls of the work loop in one attempt."""
    retries: int = Field(2, ge=0, le=10)
    """Attempts after the first that the gate may ask for."""
    reviews: int = Field(2, ge=0, le=10)
    """Times the reviewer may send the work back."""
    clarifications: int = Field(3, ge=0, le=20)
    """Questions to other teams in one objective."""
    depth: int = Field(2, ge=0, le=10)
    """Hops a question may take from team to team."""
    repairs: int = Field(2, ge=1, le=10)
    """Attempts at making one of two changes that met in the same lines."""
    minutes: int = Field(30, ge=1, le=1440)
    """Wall-clock time of a stage."""
    answer_seconds: int = Field(300, ge=1, le=86_400)
    """How long the asker waits for an answer before a person is asked."""


class Operative(BaseModel):
    """One role inside a team."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    role: Role
    instructions: str
    """The text of the operative's instructions."""
    alias: str
    """The model alias; the team's own where the operative names none."""


class ChangeRules(BaseModel):
    """What tells that a change of what exists concerns a team; `[change]` in its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: tuple[str, ...] = ()
    """Words of a change's text that concern the team, beside `skip_unless`."""
    adopts: tuple[str, ...] = ()
    """Globs of files that it takes on where no team's `paths` mean them: some repository's own layout."""
    follows: tuple[str, ...] = ()
    """Teams whose work it looks at: where one of them is concerned, so is it."""
    mentions: bool = True
    """Whether a file of its own that speaks of what the change is about concerns it."""


class TeamFacts(BaseModel):
    """What a team is, without its texts."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    purpose: str
    alias: str
    required: bool
    skip_when: str
    skip_unless: tuple[str, ...]
    paths: tuple[str, ...]
    """Globs of what the team may write (teams/globs.py)."""
    deliverables: tuple[str, ...]
    """Globs that must each match at least one non-empty file when the team is done."""
    checks: tuple[str, ...]
    tools: tuple[str, ...]
    asks: tuple[str, ...]
    threshold: int
    """The least confidence (0 to 100) with which the gate lets a result pass."""
    sandbox: SandboxPolicy
    change: ChangeRules = ChangeRules()
    limits: Limits


class Team(TeamFacts):
    """A specialised function of the factory, as its folder describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operatives: tuple[Operative, ...]
    soul: str
    """SOUL.md: who they are, what good looks like, what they refuse."""
    agents: str
    """AGENTS.md: how they work and hand over."""
    tools_notes: str
    """TOOLS.md: what to know about their tools."""

    def operative(self, operative_id: str) -> Operative:
        """The operative of that id; KeyError when the team has none."""
        for operative in self.operatives:
            if operative.id == operative_id:
                return operative
        raise KeyError(operative_id)

    def _with_role(self, role: Role) -> Sequence[Operative]:
        return [operative for operative in self.operatives if operative.role == role]

    @property
    def author(self) -> Operative:
        """Who does the work."""
        return self._with_role("author")[0]

    @property
    def reviewer(self) -> Operative | None:
        """Who reads the author's change, where the team has such a one."""
        return next(iter(self._with_role("reviewer")), None)

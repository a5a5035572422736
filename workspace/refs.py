"""The names of a run's refs, and what stands below them."""

from __future__ import annotations

import re

from workspace.errors import NameRefused
from workspace.git import Git

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9/._-]{0,250}")


def updates(*moves: tuple[str, str]) -> bytes:
    """What `git update-ref --stdin` reads to set each ref to its commit, all or none."""
    return "".join(f"update {ref} {commit}\n" for ref, commit in moves).encode()


def checked(name: str) -> str:
    """The name of a run, a stage or a tag, as it is. Raises NameRefused where it can be none."""
    if not _NAME.fullmatch(name) or ".." in name or name.endswith(".lock"):
        raise NameRefused(f"{name[:100]!a} cannot name a run, a stage or a tag")
    return name


def revision(name: str) -> str:
    """What names a commit, as it is. Raises NameRefused where it could be read as anything else."""
    if not _REVISION.fullmatch(name) or ".." in name:
        raise NameRefused(f"{name[:100]!a} names no commit")
    return name


def branch(run_id: str) -> str:
    """The run's branch."""
    return f"refs/heads/factory/{checked(run_id)}"


def base(run_id: str) -> str:
    """Where the run began."""
    return f"refs/factory/{checked(run_id)}/base"


def rolled_back(run_id: str) -> str:
    """Below it stand the heads that the run's branch had before its rollbacks."""
    return f"refs/factory/{checked(run_id)}/rolled-back"


def stage(run_id: str, stage: str) -> str:
    """The newest snapshot of a stage."""
    return f"refs/factory/{checked(run_id)}/stages/{checked(stage)}"


async def undone(git: Git, run_id: str) -> list[str]:
    """The heads that the run's branch had before its rollbacks, the newest first."""
    listed = await git("for-each-ref", "--format=%(refname) %(objectname)", f"{rolled_back(run_id)}/")
    heads: dict[int, str] = {}
    for line in listed.text.split("\n"):
        name, _, commit = line.partition(" ")
        number, _, what = name.removeprefix(f"{rolled_back(run_id)}/").partition("/")
        if what == "head" and number.isdecimal():
            heads[int(number)] = commit
    return [heads[number] for number in sorted(heads, reverse=True)]


async def merged(git: Git, base: str, branch: str, stage: str) -> str | None:
    """The run's commit that carries `Factory-Stage: <stage>`, if there is one."""
    form = "--format=%H%x09%(trailers:key=Factory-Stage,valueonly,separator=%x09)"
    # Along the first parents: what was taken in from main is of other runs, whose stages have the same names.
    for line in (await git("log", "--first-parent", form, f"{base}..{branch}")).text.split("\n"):
        commit, *stages = line.split("\t")
        if stage in stages:
            return commit
    return None

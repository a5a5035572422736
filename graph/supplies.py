"""What a product's dependencies come to: an environment for its code, or what stands in the way of one.

The workspace reads, fetches and installs; governance judges; what a person decided is in `approvals`. This
module puts them together, and says in the log what was installed, refused and reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from core.database import Database
from core.events import EventLog
from core.json import JsonObject, canonical
from core.settings import Settings
from governance import dependencies as rulebook
from governance.approvals import Approval, Approvals
from governance.dependencies import Grant, Rules
from workspace import project_settings
from workspace.dependencies import declared as declarations
from workspace.dependencies import fetching
from workspace.dependencies.archive import Package
from workspace.dependencies.declared import Declared
from workspace.dependencies.environments import Environment, Environments, InstallFailed
from workspace.dependencies.fetching import Failure, Fetched
from workspace.dependencies.sources import Sources, sources
from workspace.egress import Contact
from workspace.errors import FileMissing, SandboxUnavailable
from workspace.files import Files
from workspace.repository import Repository
from workspace.sandbox import Sandbox

PREFIX: Final = "dependency/"
"""How the keys of questions about dependencies begin."""
MOST_LOOKS: Final = 3
"""Times that a person may say of one package that it is there now."""

_NAMED: Final = 400
"""Characters of a list of names in a sentence."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A dependency that is not installed."""

    name: str
    requirement: str
    licence: str
    """As the package says it; empty where it was not looked at."""
    why: str
    """A word of `governance.dependencies.Why` or `fetching.Fault`."""
    text: str
    """Why, in words."""
    decided: str = ""
    """Who refused it for good in this run; empty while a person can be asked."""

    @property
    def signature(self) -> str:
        """The same for the same refusal, in any stage of any run."""
        told = canonical({"name": self.name, "licence": self.licence, "why": self.why, "text": self.text})
        return sha256(told.encode()).hexdigest()[:16]

    @property
    def can_be_allowed(self) -> bool:
        """Whether a person's word is enough; else something has to be put right first."""
        return self.why in ("not-listed", "version", "licence-refused", "licence-unknown")

    @property
    def sentence(self) -> str:
        """What the team and the log read."""
        by = f" ({self.decided})" if self.decided else ""
        return f"the dependency {self.name} is not installed: {self.text}{by}"


@dataclass(frozen=True, slots=True)
class Supply:
    """What there is for a worktree's code to import."""

    libraries: Path | None = None
    """The folder of its dependencies; None where it has none, or not all of them."""
    refused: tuple[Refusal, ...] = ()

    @property
    def open(self) -> tuple[Refusal, ...]:
        """The refusals that a person has not decided."""
        return tuple(refusal for refusal in self.refused if not refusal.decided)


NOTHING: Final = Supply()


@dataclass
class Supplies:
    """Finds or makes the environment for any worktree."""

    settings: Settings
    events: EventLog
    approvals: Approvals
    sandbox: Sandbox
    rules: Rules
    _known: dict[tuple[str, str], Fetched] = field(default_factory=dict[tuple[str, str], Fetched], repr=False)
    _environments: dict[str, Environments] = field(default_factory=dict[str, Environments], repr=False)

    @classmethod
    def open(cls, settings: Settings, db: Database, sandbox: Sandbox) -> Supplies:
        """Load the allow-list. Raises RulesInvalid."""
        events = EventLog(db)
        return cls(settings, events, Approvals(db, events), sandbox, rulebook.load(settings.dependency_file))

    async def of(
        self, run_id: str, repository: Repository, base: str, tree: Path, *, again: bool = False
    ) -> Supply:
        """What the worktree's code may import now. `base` is the commit that the run began from; `again`
        looks anew at what was not there before."""
        declared = await asyncio.to_thread(declarations.read, Files(tree))
        if not (declared.wanted or declared.problems) or not self.sandbox.available:
            return NOTHING  # without a sandbox nothing is run that could import anything
        refused = await self._supplied(run_id, repository.name, declared, again)
        if isinstance(refused, Environment):
            return Supply(refused.libraries)
        answers = await self.approvals.decided_in_project(run_id, PREFIX)
        marked = tuple(self._decided(refusal, run_id, answers) for refusal in refused)
        for refusal in marked:
            payload: JsonObject = {**asdict(refusal)}
            key = f"{PREFIX}refused/{refusal.signature}/{'decided' if refusal.decided else 'open'}"
            await self.events.append(run_id, "dependency.refused", payload, key=key)
        if all(refusal.decided for refusal in marked) and await _came_with(declared, repository, base):
            return NOTHING  # a person goes on without what the run did not bring in
        return Supply(None, marked)

    async def _supplied(
        self, run_id: str, project: str, declared: Declared, again: bool
    ) -> Environment | list[Refusal]:
        home = self.settings.home
        own = (await project_settings.operators(home, project)).dependencies
        rules, where = self.rules.narrowed(own), sources(self.settings, own)
        refused = [Refusal(what, what, "", "declaration", f"{what} {why}") for what, why in declared.problems]
        for wanted in declared.wanted:
            if objection := rulebook.denied(wanted.name, rules):
                refused.append(Refusal(wanted.name, wanted.requirement, "", objection.why, objection.text))
        refused += self._without_source(declared, where)
        if refused:
            return refused
        folder = home / "projects" / project / "environments"
        environments = self._environments.setdefault(project, Environments(folder))
        key = await asyncio.to_thread(self._key, declared, where)
        fetched = None if again else await self._recalled(environments, run_id, key)
        grants = _grants(await self.approvals.decided_in_project(run_id, PREFIX))
        if fetched is not None:
            if refused := _refusals(fetched, declared, rules, grants):
                return refused
            found = await asyncio.to_thread(environments.find, fetched.packages, self.sandbox)
            if found is not None:
                return found
        return await self._made(run_id, environments, key, declared, where, rules, grants)

    async def _made(
        self,
        run_id: str,
        environments: Environments,
        key: str,
        declared: Declared,
        where: Sources,
        rules: Rules,
        grants: Sequence[Grant],
    ) -> Environment | list[Refusal]:
        contacts: list[Contact] = []
        try:
            async with environments.working() as work:
                fetched = await fetching.fetch(declared.wanted, where, self.sandbox, work, contacts.append)
                self._known[_kept_as(run_id, key, fetched)] = fetched
                if refused := _refusals(fetched, declared, rules, grants):
                    return refused
                made = await asyncio.to_thread(environments.find, fetched.packages, self.sandbox)
                made = made or await environments.install(fetched.packages, self.sandbox, work)
                await asyncio.to_thread(environments.remember, key, fetched.packages)
        except (InstallFailed, SandboxUnavailable) as failed:
            return [_refusal(Failure("unavailable", "the packages", str(failed)), declared)]
        finally:
            await self._tell_contacts(run_id, contacts)
        told: JsonObject = {
            "digest": made.digest,
            "packages": [
                f"{each.name} {each.version} ({each.licence.expression or each.licence.said or 'no licence'})"
                for each in fetched.packages
            ],
        }
        await self.events.append(run_id, "dependency.installed", told, key=f"{PREFIX}installed/{made.digest}")
        return made

    async def _recalled(self, environments: Environments, run_id: str, key: str) -> Fetched | None:
        for known in (run_id, key), ("", key):
            if known in self._known:
                return self._known[known]
        packages = await asyncio.to_thread(environments.recall, key)
        return Fetched(packages) if packages is not None else None

    async def _tell_contacts(self, run_id: str, contacts: Sequence[Contact]) -> None:
        for contact in dict.fromkeys(contacts):
            payload: JsonObject = {"host": contact.host, "port": contact.port, "why": contact.why}
            kind = "egress.refused" if contact.why else "egress.allowed"
            digest = sha256(canonical(payload).encode()).hexdigest()[:16]
            await self.events.append(run_id, kind, payload, key=f"{PREFIX}egress/{digest}")

    def _key(self, declared: Declared, where: Sources) -> str:
        wanted = [[each.requirement, *sorted(each.hashes)] for each in declared.wanted]
        told = canonical([*sorted(wanted), where.fingerprint(), str(self.sandbox.backend)])
        return sha256(told.encode()).hexdigest()[:40]

    def _without_source(self, declared: Declared, where: Sources) -> list[Refusal]:
        if not declared.wanted:
            return []
        names = ", ".join(each.requirement for each in declared.wanted)[:_NAMED]
        if where.wheelhouse is not None and not where.wheelhouse.is_dir():
            why = f"the wheelhouse {where.wheelhouse} is no folder"
        elif not where:
            why = "no wheelhouse and no index is set (FACTORY_WHEELHOUSE, FACTORY_INDEX_URL, or project.toml)"
        else:
            return []
        return [Refusal(names, names, "", "unavailable", why)]

    def _decided(self, refusal: Refusal, run_id: str, answers: Sequence[Approval]) -> Refusal:
        """The refusal with who made it final, if somebody did."""
        if refusal.why == "denied":
            return _final(refusal, "by the operator's list")
        same = [each for each in answers if each.detail.get("signature") == refusal.signature]
        same = [each for each in same if each.run_id == run_id]
        for answer in same:
            if answer.decision in ("reject", "expired"):
                said = f": {answer.answer}" if answer.answer else ""
                return _final(refusal, f"refused by {answer.decided_by}{said}")
        if len(same) >= MOST_LOOKS and not refusal.can_be_allowed:
            return _final(refusal, f"a person has been asked {len(same)} times")
        return refusal


def _kept_as(run_id: str, key: str, fetched: Fetched) -> tuple[str, str]:
    """What failed is kept for its run alone: by the next, the source may be there or have the wheel."""
    return (run_id if fetched.failures else "", key)


def _final(refusal: Refusal, by: str) -> Refusal:
    told = {name: value for name, value in asdict(refusal).items() if name != "decided"}
    return Refusal(**told, decided=by)


def _refusals(fetched: Fetched, declared: Declared, rules: Rules, grants: Sequence[Grant]) -> list[Refusal]:
    refused = [_refusal(failure, declared) for failure in fetched.failures]
    for package in fetched.packages:
        if objection := rulebook.judge(package, rules, grants):
            asked = _asked_as(package, declared, fetched.packages)
            said = package.licence.expression or package.licence.said
            refused.append(Refusal(package.name, asked, said, objection.why, objection.text))
    return refused


def _refusal(failure: Failure, declared: Declared) -> Refusal:
    asked = next((each.requirement for each in declared.wanted if each.name == failure.name), failure.name)
    return Refusal(failure.name, asked, "", failure.fault, failure.why)


def _asked_as(package: Package, declared: Declared, packages: Sequence[Package]) -> str:
    """How the product asks for it, or which package does."""
    for wanted in declared.wanted:
        if wanted.name == package.name:
            return f"{wanted.requirement} ({wanted.file})"
    from_ = [
        each.name for each in packages if any(fetching.name_of(need) == package.name for need in each.needs)
    ]
    return f"{package.name}=={package.version} (needed by {', '.join(from_) or 'another package'})"


def _grants(answers: Sequence[Approval]) -> list[Grant]:
    return [
        Grant(str(each.detail.get("name")), str(each.detail.get("licence")))
        for each in answers
        if each.decision in ("approve", "edit") and each.detail.get("allows")
    ]


async def _came_with(declared: Declared, repository: Repository, base: str) -> bool:
    """Whether all that the worktree declares was declared where the run began."""
    texts: dict[str, str] = {}
    for path in await repository.files(base):
        in_texts = path.endswith(".txt") and path.startswith("requirements") and path.count("/") <= 1
        if in_texts or path == "pyproject.toml":
            texts[path] = await repository.read(base, path) or ""
    at_root = {path: text for path, text in texts.items() if "/" not in path}
    before = declarations.of(at_root, _Kept(texts))
    return set(declared.wanted) <= set(before.wanted) and set(declared.problems) <= set(before.problems)


@dataclass(frozen=True)
class _Kept:
    texts: dict[str, str]

    def read(self, path: str, *, limit: int = 0) -> str:
        if path not in self.texts:
            raise FileMissing(f"there is no file {path}")
        return self.texts[path]

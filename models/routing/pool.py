"""Chooses who answers: the best of a few random picks, so that a choice costs the same at 5 and at 5,000.

Deployments that are left alone are taken out of the list when a pick meets them, and come back by a heap when
their time is over; so the dead of a pool cost nothing after they were found out. One event loop, no locks.
"""

import heapq
import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from core import clock
from models.catalogue import Capability, Routing
from models.routing.deployment import Deployment

_LOOKED_THROUGH = 100  # of the deployments in a group, where a draw found only those that failed
_PROVEN = 8  # of the deployments that answered last; asked first after a failure


@dataclass(frozen=True, slots=True)
class Need:
    """What a call asks of a model."""

    prompt: int
    """Tokens, estimated."""
    answer: int
    """Tokens that the answer should have room for, at least."""
    capabilities: frozenset[Capability] = frozenset()
    local_only: bool = False
    least_window: int = 0


@dataclass(frozen=True, slots=True)
class Considered:
    """One deployment in the light of a need."""

    deployment: Deployment
    excluded: str
    """Why it cannot be chosen now; empty where it can."""
    score: float | None
    """What a call is expected to cost, in USD with its time; the least is best."""


class _Group:
    """Deployments that differ only in price, account and luck."""

    __slots__ = ("capabilities", "live", "local", "out", "parked", "turn", "window")

    def __init__(self, deployment: Deployment) -> None:
        self.capabilities = deployment.capabilities
        self.window = deployment.window
        self.local = deployment.account.local
        self.live: list[Deployment] = []
        self.parked: list[tuple[float, int, Deployment]] = []
        """A heap by the time at which they are looked at again."""
        self.out: set[Deployment] = set()
        """Who is in that heap; an entry of anybody else is out of date."""
        self.turn = 0

    def add(self, deployment: Deployment) -> None:
        self.live.append(deployment)
        deployment.on_free.append(self.recall)

    def recall(self, deployment: Deployment) -> None:
        """One that was put aside may be asked sooner than was thought."""
        if deployment in self.out:
            self._set_aside(deployment, deployment.free_at())

    def _set_aside(self, deployment: Deployment, until: float) -> None:
        self.out.add(deployment)
        self.turn += 1
        heapq.heappush(self.parked, (until, self.turn, deployment))

    def unfit(self, need: Need) -> str:
        """Why none of the group will ever do; empty where it may."""
        if need.local_only and not self.local:
            return "local_only: it is not on this machine"
        if missing := need.capabilities - self.capabilities:
            return f"it has no {', '.join(sorted(missing))}"
        if self.window < need.least_window:
            return f"a window of {self.window} tokens; this work needs {need.least_window}"
        if self.window < need.prompt + need.answer:
            return f"a window of {self.window} tokens; the call needs {need.prompt + need.answer}"
        return ""

    def wake(self, now: float) -> None:
        while self.parked and self.parked[0][0] <= now:
            deployment = heapq.heappop(self.parked)[2]
            if deployment in self.out:
                self.out.remove(deployment)
                self.live.append(deployment)

    def draw(self, at: int, now: float) -> Deployment | None:
        """The deployment at a place of the list, or None for one that turned out to be left alone."""
        live = self.live
        deployment = live[at]
        free_at = deployment.free_at()
        if free_at <= now:
            return deployment
        live[at] = live[-1]
        live.pop()
        self._set_aside(deployment, free_at)
        return None


class AccountPool:
    """Deployments that stand in for one another."""

    def __init__(
        self,
        name: str,
        deployments: Iterable[Deployment],
        rules: Routing,
        *,
        chance: random.Random | None = None,
    ) -> None:
        self.name = name
        self.deployments: Sequence[Deployment] = tuple(deployments)
        self._rules = rules
        self._chance = chance or random.Random()  # noqa: S311 (nothing secret depends on it)
        self._proven: list[Deployment] = []
        groups: dict[tuple[frozenset[Capability], int, bool], _Group] = {}
        for deployment in self.deployments:
            key = (deployment.capabilities, deployment.window, deployment.account.local)
            if key not in groups:
                groups[key] = _Group(deployment)
            groups[key].add(deployment)
        self._groups = list(groups.values())

    def pick(self, need: Need, avoid: Collection[Deployment] = ()) -> Deployment | None:
        """The best of a few; None where nobody can be asked now.

        `avoid`: who failed in this call already. Then one that answered lately is asked first, and one to be
        avoided only where there is nobody else.
        """
        now = clock.monotonic()
        groups = [group for group in self._groups if not group.unfit(need)]
        for group in groups:
            group.wake(now)
        if avoid and (proven := self._one_proven(groups, now, avoid)) is not None:
            return proven
        best: Deployment | None = None
        least = 0.0
        second_price = self._rules.second_price
        drawn = 0
        while drawn < self._rules.picks:
            found = self._draw(groups, now)
            if found is None:
                break
            drawn += 1
            score = found.score(need.prompt, need.answer, second_price)
            if avoid and found in avoid:
                score += 1e9
            if best is None or score < least:
                best, least = found, score
        if best is not None and best in avoid:
            # Chance may draw the same few again and again; whoever has not failed yet comes first.
            return self._not_yet_failed(groups, now, avoid) or best
        return best

    def _not_yet_failed(
        self, groups: Sequence[_Group], now: float, avoid: Collection[Deployment]
    ) -> Deployment | None:
        for group in groups:
            for deployment in group.live[:_LOOKED_THROUGH]:
                if deployment not in avoid and deployment.free_at() <= now:
                    return deployment
        return None

    def _draw(self, groups: Sequence[_Group], now: float) -> Deployment | None:
        """One by chance of all that are live; None where none is."""
        total = sum(len(group.live) for group in groups)
        while total:
            at = int(self._chance.random() * total)
            for group in groups:
                if at < len(group.live):
                    found = group.draw(at, now)
                    if found is not None:
                        return found
                    total -= 1
                    break
                at -= len(group.live)
        return None

    def _one_proven(
        self, groups: Sequence[_Group], now: float, avoid: Collection[Deployment]
    ) -> Deployment | None:
        fit = {(group.capabilities, group.window, group.local) for group in groups}
        for deployment in self._proven:
            traits = (deployment.capabilities, deployment.window, deployment.account.local)
            if deployment not in avoid and traits in fit and deployment.free_at() <= now:
                return deployment
        return None

    def proved(self, deployment: Deployment) -> None:
        """It answered: whoever fails next is replaced by one of these."""
        if deployment not in self._proven:
            self._proven.append(deployment)
            del self._proven[:-_PROVEN]

    def soonest(self, need: Need) -> float | None:
        """When the first that is left alone now may be asked (monotonic seconds); None where nobody fits."""
        now = clock.monotonic()
        times = [
            group.parked[0][0] if not group.live else now
            for group in self._groups
            if not group.unfit(need) and (group.live or group.parked)
        ]
        return min(times, default=None)

    def fits(self, need: Need) -> bool:
        """Whether anybody could answer such a call, if not now."""
        return any(not group.unfit(need) for group in self._groups)

    @property
    def window(self) -> int:
        """The largest window among those that can be asked; among all where none can. Tokens."""
        now = clock.monotonic()
        for group in self._groups:
            group.wake(now)
        windows = [group.window for group in self._groups if group.live]
        return max(windows or [group.window for group in self._groups], default=0)

    def can(self, capability: Capability) -> bool:
        """Whether any of the pool has it."""
        return any(capability in group.capabilities for group in self._groups)

    def considered(self, need: Need) -> list[Considered]:
        """Every deployment with the reason for or against it, the best first. Slow; for people."""
        now = clock.monotonic()
        found: list[Considered] = []
        for deployment in self.deployments:
            why = _Group(deployment).unfit(need)
            if not why and deployment.free_at() > now:
                why = f"{deployment.reason()} (for {deployment.free_at() - now:.0f} s more)"
            score = deployment.score(need.prompt, need.answer, self._rules.second_price)
            found.append(Considered(deployment, why, None if why else score))
        return sorted(found, key=lambda one: (bool(one.excluded), one.score or 0.0, one.deployment.name))

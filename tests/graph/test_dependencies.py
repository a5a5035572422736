"""Dependencies on real runs: what may not be installed is asked, once, and the answer counts."""

from pathlib import Path
from typing import Any

import pytest

from governance.approvals import Approval
from graph.runner import Factory
from tests.doubles.wheels import index, wheel
from tests.graph.conftest import OpenSmall
from tests.packs.brain import Chat, Rule, result
from tests.workspace.conftest import git

ALLOWED = 'licences = ["MIT"]\ndenied = ["evil"]\n[allowed]\nalpha = ""\n'


def writes(*files: tuple[str, str]) -> str:
    return "I write.\n\n" + "".join(f"```write {path}\n{text}\n```\n\n" for path, text in files)


def product(*needs: str, without: str = "") -> dict[str, Rule]:
    """A team that declares `needs` and imports the first; told that it was refused, it does `without`."""
    listed = "".join(f"{need}\n" for need in needs)
    name = needs[0].partition("=")[0].partition(">")[0]

    def work(chat: Chat) -> str:
        if chat.turn == 0:
            test = f"import {name}\n\n\ndef test_it():\n    assert {name}.VERSION\n"
            return writes(
                ("requirements.txt", listed), ("tests/test_it.py", test), ("docs/builder.md", "# Builder")
            )
        told = "declare it no more" in chat.text and "wrote tests/test_it.py" in chat.text
        if told and without and "OWN" not in chat.text:
            own = "OWN = 1\n\n\ndef test_own():\n    assert OWN\n"
            return writes(("requirements.txt", without), ("tests/test_it.py", own))
        return "Done."

    return {"builder/work": work, "builder/report": lambda _: result()}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    rules = tmp_path / "dependencies.toml"
    rules.write_text(ALLOWED)
    (tmp_path / "wheelhouse").mkdir()
    return tmp_path / "wheelhouse"


@pytest.fixture
def supplied(house: Path) -> dict[str, Any]:
    return {"pack": "needy", "wheelhouse": house, "dependency_file": house.parent / "dependencies.toml"}


async def start(factory: Factory, project: str | None = None) -> tuple[str, tuple[Approval, ...]]:
    run_id = await factory.submit("Small pages", project=project)
    return run_id, tuple((await factory.drive(run_id)).waiting)


async def kinds(factory: Factory, run_id: str, kind: str) -> list[Any]:
    return [event.payload for event in await factory.events.read(run_id, kinds=[kind])]


async def test_an_allowed_dependency_is_installed_and_the_products_tests_import_it(
    open_small: OpenSmall, house: Path, supplied: dict[str, Any]
) -> None:
    wheel(house, "alpha")
    async with open_small(product("alpha>=1"), **supplied) as factory:
        run_id, waiting = await start(factory)
        assert [approval.kind for approval in waiting] == ["review"]
        installed = await kinds(factory, run_id, "dependency.installed")
        assert [each["packages"] for each in installed] == [["alpha 1.0 (MIT)"]], (
            "once for stage and validate"
        )
        checks = await kinds(factory, run_id, "check.ran")
        assert [check["passed"] for check in checks if check["name"] == "tests"] == [True, True]


async def test_a_dependency_that_is_not_listed_is_allowed_for_the_project_once_and_for_all(
    open_small: OpenSmall, house: Path, supplied: dict[str, Any]
) -> None:
    wheel(house, "gamma", metadata=["License-Expression: GPL-3.0-only"])
    async with open_small(product("gamma"), **supplied) as factory:
        run_id, waiting = await start(factory, "shop")
        asked = waiting[0]
        assert (asked.kind, asked.title, asked.team) == ("escalation", "Dependency: gamma", "builder")
        assert "gamma (requirements.txt)" in asked.question
        assert "GPL-3.0-only" in asked.question
        assert asked.allowed == ("approve", "reject")
        await factory.answer(asked.id, "approve", None, by="Ada")
        waiting = (await factory.drive(run_id)).waiting
        assert [approval.kind for approval in waiting] == ["review"]
        await factory.answer(waiting[0].id, "approve", None, by="Ada")
        assert (await factory.drive(run_id)).status == "completed"

        second, waiting = await start(factory, "shop")
        assert [approval.kind for approval in waiting] == ["review"], "it was decided for the project"
        _, waiting = await start(factory, "elsewhere")
        assert [approval.title for approval in waiting] == ["Dependency: gamma"], "and for no other"
        assert second != run_id


async def test_a_refused_dependency_goes_back_to_the_team_which_does_without(
    open_small: OpenSmall, house: Path, supplied: dict[str, Any]
) -> None:
    wheel(house, "gamma")
    async with open_small(product("gamma", without="# nothing"), **supplied) as factory:
        run_id, waiting = await start(factory)
        await factory.answer(waiting[0].id, "reject", "too new", by="Ada")
        outcome = await factory.drive(run_id)
        assert [approval.kind for approval in outcome.waiting] == ["review"]
        refused = await kinds(factory, run_id, "dependency.refused")
        assert [each["decided"] for each in refused] == ["", "refused by Ada: too new"]
        assert await kinds(factory, run_id, "dependency.installed") == []


async def test_a_team_that_keeps_a_refused_dependency_does_not_pass_the_gate(
    open_small: OpenSmall, house: Path, supplied: dict[str, Any]
) -> None:
    wheel(house, "gamma")
    async with open_small(product("gamma"), **supplied) as factory:
        run_id, waiting = await start(factory)
        await factory.answer(waiting[0].id, "reject", "no", by="Ada")
        outcome = await factory.drive(run_id)
        assert [approval.title for approval in outcome.waiting] == ["Builder cannot go on"]
        assert "the dependency gamma is not installed" in outcome.waiting[0].question


async def test_a_denied_dependency_is_refused_without_a_question(
    open_small: OpenSmall, house: Path, supplied: dict[str, Any]
) -> None:
    wheel(house, "evil")
    async with open_small(product("evil", without="# nothing"), **supplied) as factory:
        run_id, waiting = await start(factory)
        assert [approval.kind for approval in waiting] == ["review"]
        rulings = await kinds(factory, run_id, "gate.decided")
        assert any("operator's list" in reason for ruling in rulings for reason in ruling["reasons"])


async def test_without_any_source_a_product_with_dependencies_is_a_question_and_never_passed_over(
    open_small: OpenSmall,
) -> None:
    async with open_small(product("alpha", without="# nothing"), pack="needy") as factory:
        run_id, waiting = await start(factory)
        assert [approval.title for approval in waiting] == ["Dependency: alpha"]
        assert "no wheelhouse and no index is set" in waiting[0].question
        await factory.answer(waiting[0].id, "reject", None, by="Ada")
        outcome = await factory.drive(run_id)
        assert [approval.kind for approval in outcome.waiting] == ["review"]


async def test_a_missing_wheel_that_a_person_puts_there_is_found_on_their_word(
    open_small: OpenSmall, house: Path, supplied: dict[str, Any]
) -> None:
    async with open_small(product("alpha"), **supplied) as factory:
        run_id, waiting = await start(factory)
        assert "is not in the wheelhouse" in waiting[0].question
        await factory.answer(waiting[0].id, "approve", None, by="Ada")
        waiting = (await factory.drive(run_id)).waiting
        assert [approval.title for approval in waiting] == ["Dependency: alpha"], "it is still not there"
        wheel(house, "alpha")
        await factory.answer(waiting[0].id, "approve", None, by="Ada")
        outcome = await factory.drive(run_id)
        assert [approval.kind for approval in outcome.waiting] == ["review"]


async def test_what_an_index_lacked_in_one_run_is_looked_for_anew_by_the_next(
    open_small: OpenSmall, house: Path, supplied: dict[str, Any]
) -> None:
    with index(house) as serving:
        async with open_small(product("alpha"), **{**supplied, "wheelhouse": None}) as factory:
            told = factory.settings.home / "projects" / "shop" / "project.toml"
            told.parent.mkdir(parents=True)
            told.write_text(f'[dependencies]\nindex = "{serving.url}"\nnetworks = ["127.0.0.0/8"]\n')
            _, waiting = await start(factory, "shop")
            assert "is not in the index" in waiting[0].question
            wheel(house, "alpha")
            _, waiting = await start(factory, "shop")
            assert [approval.kind for approval in waiting] == ["review"]


async def test_approve_all_allows_no_dependency(
    open_small: OpenSmall, house: Path, supplied: dict[str, Any]
) -> None:
    wheel(house, "gamma")
    async with open_small(product("gamma"), **supplied) as factory:
        run_id = await factory.submit("Small pages", approve_all=True)
        outcome = await factory.drive(run_id)
        assert [approval.title for approval in outcome.waiting] == ["Dependency: gamma"]


async def test_a_repository_that_came_with_dependencies_goes_on_without_when_a_person_says_so(
    open_small: OpenSmall, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "main")
    (source / "requirements.txt").write_text("alpha\n")
    (source / "test_own.py").write_text("def test_own():\n    pass\n")
    git(source, "add", "-A")
    git(source, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "begin")
    rules = {"builder/report": lambda _: result()}
    async with open_small(rules, pack="needy") as factory:
        run_id = await factory.submit("Small pages", project="old", repo=source)
        waiting = (await factory.drive(run_id)).waiting
        assert [approval.title for approval in waiting] == ["Dependency: alpha"]
        await factory.answer(waiting[0].id, "reject", None, by="Ada")
        outcome = await factory.drive(run_id)
        assert [approval.kind for approval in outcome.waiting] == ["review"]

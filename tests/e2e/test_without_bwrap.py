"""No sandbox: nothing that a model wrote is executed, and a person decides. Unless the operator says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graph.runner import Factory
from tests.doubles.ollama_server import MODELS, OllamaServer
from tests.e2e.conftest import OpenFactory, escalations, on_branch, released, stages, to_the_end
from tests.packs.brain import Chat, brain, write

FENCED = {name: {"capabilities": ["format"]} for name in MODELS}


def touches(marker: Path) -> str:
    """An action that leaves a mark outside the worktree, were it ever executed unconfined."""
    arguments = {"command": f"touch {marker}; echo it ran", "seconds": 10}
    return f"I look.\n\n````call bash\n{json.dumps(arguments)}\n````\n"


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture(params=["missing", "no program", "fails", "confines nothing"])
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A bubblewrap that cannot be used, in one of the ways it can happen."""
    path = tmp_path / "bwrap"
    match request.param:
        case "no program":
            path.write_text("not a program")
        case "fails":
            path.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
            path.chmod(0o755)
        case "confines nothing":
            path.write_text(
                '#!/bin/sh\nwhile [ "$1" != "--" ] && [ $# -gt 0 ]; do shift; done\nshift\n"$@"\n'
            )
            path.chmod(0o755)
        case _:
            pass
    return str(path)


async def run(factory: Factory, ollama: OllamaServer, marker: Path) -> str:
    """Start the run of a team that executes something and then writes its page."""

    def scout(chat: Chat) -> str:
        if not chat.turn:
            return touches(marker)
        return write("docs/scout.md", "# Scout") if "wrote docs/scout.md" not in chat.text else "Done."

    ollama.brain = brain({"scout/work": scout})
    return await factory.submit("A page about scouting", pipeline="one")


async def test_without_a_sandbox_the_action_is_refused_and_the_rest_goes_on(
    broken: str, ollama_server: OllamaServer, open_factory: OpenFactory, marker: Path
) -> None:
    async with open_factory(bwrap=broken, models=FENCED) as factory:
        (said,) = factory.announcements
        assert said.startswith("no sandbox: generated code will not be run (")
        run_id = await run(factory, ollama_server, marker)
        outcome = await to_the_end(factory, run_id)
        assert not marker.exists()
        assert await announced(factory, run_id) == [said]
        told = "\n".join(str(chat["messages"]) for chat in ollama_server.chats)
        assert "Code is not run" in told
        assert "it ran\\n" not in told
        # This team's checks need no execution: its page is as good as ever.
        assert outcome.status == "completed"


async def test_a_check_that_needs_execution_goes_to_a_person(
    ollama_server: OllamaServer, open_factory: OpenFactory, marker: Path, tmp_path: Path
) -> None:
    pack = _pack_whose_scout_must_test(tmp_path)
    conftest = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
    test = "def test_it():\n    assert True"

    def scout(chat: Chat) -> str:
        if chat.turn:
            return "Done."
        files = {"docs/scout.md": "# Scout", "docs/conftest.py": conftest, "docs/test_it.py": test}
        return "\n".join(write(path, text) for path, text in files.items())

    ollama_server.brain = brain({"scout/work": scout})
    async with open_factory(
        bwrap=str(tmp_path / "none"), pack="testing", pack_dirs=[pack], models=FENCED
    ) as factory:
        run_id = await factory.submit("A page about scouting", pipeline="one")
        outcome = await to_the_end(factory, run_id)
        assert not marker.exists(), "a generated conftest.py was imported"
        assert outcome.status == "awaiting_input"
        (asked,) = escalations(outcome)
        assert "check `tests` could not run" in asked.question
        assert "--unsafe-no-sandbox" in asked.question
        assert (await stages(factory, run_id))["scout"].verdict == "blocked"
        assert "docs/scout.md" not in await on_branch(factory, run_id)
        checks = await factory.events.read(run_id, kinds=["check.ran"])
        assert [e.payload["passed"] for e in checks if e.payload["name"] == "tests"] == [None]

        # A person may accept the work without its evidence; the whole is then asked about once more.
        await factory.answer(asked.id, "approve", None, by="a person")
        outcome = await to_the_end(factory, run_id)
        (asked,) = escalations(outcome)
        assert asked.title == "The merged project does not pass its checks"
        await factory.answer(asked.id, "approve", None, by="a person")
        assert (await to_the_end(factory, run_id)).status == "completed"
        assert not marker.exists()


async def test_the_operators_word_runs_it_unconfined_and_every_surface_says_so(
    broken: str, ollama_server: OllamaServer, open_factory: OpenFactory, marker: Path
) -> None:
    async with open_factory(bwrap=broken, unsafe_no_sandbox=True, models=FENCED) as factory:
        assert factory.announcements == ["no sandbox: generated code runs unconfined (--unsafe-no-sandbox)"]
        run_id = await run(factory, ollama_server, marker)
        assert (await to_the_end(factory, run_id)).status == "completed"
        assert marker.exists(), "or the tests above prove nothing"
        assert await announced(factory, run_id) == factory.announcements
        assert "docs/scout.md" in await released(factory, run_id)


async def test_with_a_sandbox_the_same_action_leaves_no_mark(
    ollama_server: OllamaServer, open_factory: OpenFactory, marker: Path
) -> None:
    async with open_factory(models=FENCED, unsafe_no_sandbox=True) as factory:
        assert factory.announcements == [], "the option changes nothing where a sandbox holds"
        run_id = await run(factory, ollama_server, marker)
        assert (await to_the_end(factory, run_id)).status == "completed"
        assert not marker.exists()
        assert await announced(factory, run_id) == []


async def announced(factory: Factory, run_id: str) -> list[str]:
    """What the log keeps of the announcements."""
    events = await factory.events.read(run_id, kinds=["run.announced"])
    return [str(event.payload["text"]) for event in events]


def _pack_whose_scout_must_test(tmp_path: Path) -> Path:
    """The small pack's scout, with the check `tests` and tests among its deliverables."""
    import shutil

    from tests.e2e.conftest import PACKS

    folder = tmp_path / "packs"
    shutil.copytree(PACKS / "small", folder / "testing")
    team = folder / "testing" / "scout" / "team.toml"
    text = team.read_text()
    assert 'checks = ["secrets", "links"]' in text
    team.write_text(text.replace('checks = ["secrets", "links"]', 'checks = ["tests", "secrets"]'))
    return folder

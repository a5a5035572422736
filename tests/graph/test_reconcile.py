"""Two runs of one project that change the same lines: both changes arrive, or a person is asked clearly."""

import subprocess
from pathlib import Path

from governance.approvals import Approval
from graph.driver import Outcome
from graph.runner import Factory
from tests.graph.conftest import OpenSmall
from tests.packs.brain import Chat, ask, read_file, result, write

LOG = "docs/scout.md"
BASE = "# Log\n\n- begun\n"


def commit(checkout: Path, path: str, text: str) -> None:
    """What a person commits to main in the checkout."""
    (checkout / path).parent.mkdir(exist_ok=True)
    (checkout / path).write_text(text)
    me = ["-c", "user.name=Me", "-c", "user.email=me@localhost"]
    for command in (["add", "."], [*me, "commit", "-qm", "Mine"]):
        subprocess.run(["git", "-C", str(checkout), *command], check=True)


async def git(factory: Factory, run_id: str, *arguments: str) -> str:
    checkout = (await factory.services.repository(run_id)).path
    done = subprocess.run(
        ["git", "-C", str(checkout), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def appending(chat: Chat) -> str:
    """Adds a line with the requirement's last word to the log; repairs by keeping both lines."""
    word = chat.text.partition("# Requirement\n> ")[2].partition("\n")[0].split()[-1]
    if "# Conflict" in chat.text:
        both = f"{BASE}- one\n- two\n"
        return {0: read_file(LOG), 1: write(LOG, both.rstrip())}.get(chat.turn, "Done.")
    return {0: read_file(LOG), 1: write(LOG, f"{BASE}- {word}")}.get(chat.turn, "Done.")


async def at_review(factory: Factory, *wishes: str) -> tuple[list[str], list[Approval]]:
    """Runs of one project, each at its review, none released."""
    project = await factory.services.workspace.project("shop")
    commit(project.path, LOG, BASE)
    runs = [await factory.submit(wish, project="shop", pipeline="one") for wish in wishes]
    reviews: list[Approval] = []
    for run in runs:
        (review,) = (await factory.drive(run)).waiting
        assert review.kind == "review"
        reviews.append(review)
    return runs, reviews


async def approve(factory: Factory, run: str, approval: Approval) -> Outcome:
    await factory.answer(approval.id, "approve", None, by="me")
    return await factory.drive(run)


async def test_a_conflict_with_what_another_run_released_is_repaired_validated_and_reviewed_again(
    open_small: OpenSmall,
) -> None:
    async with open_small({"scout/work": appending}) as factory:
        (one, two), (first, second) = await at_review(factory, "Add one", "Add two")
        assert (await approve(factory, one, first)).status == "completed"
        (again,) = (await approve(factory, two, second)).waiting
        assert (again.kind, again.id != second.id) == ("review", True)
        assert LOG in again.question
        assert "does not cover" in again.question
        assert (await approve(factory, two, again)).status == "completed"
        assert await git(factory, two, "show", f"main:{LOG}") == f"{BASE}- one\n- two"
        kinds = [event.kind for event in await factory.events.read(two)]
        merged = kinds.index("merge.taken_in")
        assert kinds.index("repair.started") < kinds.index("repair.ended") < merged
        assert "check.ran" in kinds[merged:], "validated again"
        summary = await factory.summary(two)
        assert [stage.verdict for stage in summary.stages] == ["pass"]


async def test_a_clean_merge_is_validated_again_and_keeps_the_approval(open_small: OpenSmall) -> None:
    async with open_small({"scout/work": appending}) as factory:
        (one,), (review,) = await at_review(factory, "Add one")
        commit((await factory.services.repository(one)).path, "docs/other.md", "# Other\n")
        assert (await approve(factory, one, review)).status == "completed"
        events = await factory.events.read(one)
        (taken,) = [event for event in events if event.kind == "merge.taken_in"]
        assert taken.payload["repaired"] == []
        assert [event.kind for event in events[taken.seq :]].count("check.ran") > 0
        assert [event.kind for event in events].count("approval.requested") == 1
        listed = (await git(factory, one, "ls-tree", "-r", "--name-only", "main")).split()
        files = [path for path in listed if not path.startswith(".factory/")]
        assert files == ["docs/other.md", LOG]


async def test_a_repair_that_leaves_marker_lines_does_not_pass_and_a_person_is_asked_clearly(
    open_small: OpenSmall,
) -> None:
    def lazy(chat: Chat) -> str:
        return "I see nothing to do." if "# Conflict" in chat.text else appending(chat)

    async with open_small({"scout/work": lazy}) as factory:
        (one, two), (first, second) = await at_review(factory, "Add one", "Add two")
        await approve(factory, one, first)
        main = await git(factory, one, "rev-parse", "main")
        (asked,) = (await approve(factory, two, second)).waiting
        head = str(asked.detail["head"])
        assert asked.kind == "escalation"
        for named in (LOG, one, two, main[:12], head[:12], "marker lines are left"):
            assert named in asked.question
        for choice in ("respond:", "approve:", "reject:"):
            assert choice in asked.question
        attempts = await factory.events.read(two, kinds=["gate.decided"])
        assert [e.payload["verdict"] for e in attempts][-2:] == ["retry", "escalate"], "two attempts"
        await factory.answer(asked.id, "reject", "one is enough", by="me")
        assert (await factory.drive(two)).status == "failed"
        assert "one is enough" in str((await factory.summary(two)).failure)
        assert await git(factory, two, "rev-parse", "main") == main
        since = await git(factory, two, "diff", "--name-only", head, f"factory/{two}")
        assert all(path.startswith(".factory/mail/") for path in since.split()), "only mail was added"


async def test_a_persons_guidance_reaches_the_team_that_repairs(open_small: OpenSmall) -> None:
    def guided(chat: Chat) -> str:
        if "# Conflict" in chat.text and "keep both" not in chat.text:
            return "I do not know what shall stand."
        return appending(chat)

    async with open_small({"scout/work": guided}) as factory:
        (one, two), (first, second) = await at_review(factory, "Add one", "Add two")
        await approve(factory, one, first)
        (asked,) = (await approve(factory, two, second)).waiting
        await factory.answer(asked.id, "respond", "keep both", by="me")
        (review,) = (await factory.drive(two)).waiting
        assert review.kind == "review"
        assert (await approve(factory, two, review)).status == "completed"
        assert await git(factory, two, "show", f"main:{LOG}") == f"{BASE}- one\n- two"


async def test_what_a_person_merged_by_hand_is_validated_and_reviewed(open_small: OpenSmall) -> None:
    def lazy(chat: Chat) -> str:
        return "I see nothing to do." if "# Conflict" in chat.text else appending(chat)

    async with open_small({"scout/work": lazy}) as factory:
        (one, two), (first, second) = await at_review(factory, "Add one", "Add two")
        await approve(factory, one, first)
        (asked,) = (await approve(factory, two, second)).waiting
        me = ("-c", "user.name=Me", "-c", "user.email=me@localhost")
        await git(factory, two, "checkout", "-q", f"factory/{two}")
        await git(factory, two, *me, "merge", "-q", "-X", "ours", "-m", "By hand", "main")
        await git(factory, two, "checkout", "-q", "main")
        (review,) = (await approve(factory, two, asked)).waiting
        assert review.kind == "review"
        assert (await approve(factory, two, review)).status == "completed"
        assert await git(factory, two, "show", f"main:{LOG}") == f"{BASE}- two"


async def test_a_repair_can_ask_a_person_and_goes_on_with_the_answer(open_small: OpenSmall) -> None:
    def unsure(chat: Chat) -> str:
        if "# Conflict" in chat.text and "answer of person" not in chat.text:
            return ask("person", "Both lines?")
        if "# Conflict" in chat.text:
            both = f"{BASE}- one\n- two"
            return {1: read_file(LOG), 2: write(LOG, both)}.get(chat.turn, "Done.")
        return appending(chat)

    async with open_small({"scout/work": unsure}) as factory:
        (one, two), (first, second) = await at_review(factory, "Add one", "Add two")
        await approve(factory, one, first)
        (question,) = (await approve(factory, two, second)).waiting
        assert (question.kind, question.team) == ("clarification", "scout")
    async with open_small({"scout/work": unsure}) as factory:  # another process
        await factory.answer(question.id, "respond", "Yes, both", by="me")
        (review,) = (await factory.drive(two)).waiting
        assert (await approve(factory, two, review)).status == "completed"
        assert await git(factory, two, "show", f"main:{LOG}") == f"{BASE}- one\n- two"


async def test_two_stages_of_one_wave_that_change_the_same_lines_are_made_one_by_the_later(
    open_small: OpenSmall,
) -> None:
    def beside(chat: Chat) -> str:
        mine = f"{BASE}- {chat.team}"
        if "# Conflict" in chat.text:
            since = chat.text.partition("# Conflict")[2]
            if "conflict" in chat.last:
                return read_file(LOG)
            return write(LOG, f"{BASE}- maker\n- painter") if since.count("wrote") == 0 else "Done."
        pages = "\n".join(
            f"```write docs/{name}.md\n# Page\n```\n"
            for name in {"maker": ["maker", "extra"], "painter": ["painter"]}[chat.team]
        )
        return {0: read_file(LOG), 1: f"{pages}\n{write(LOG, mine)}"}.get(chat.turn, "Done.")

    rules = {"maker/work": beside, "painter/work": beside, "painter/report": lambda _: result()}
    async with open_small(rules) as factory:
        project = await factory.services.workspace.project("shop")
        commit(project.path, LOG, BASE)
        run = await factory.submit("Add lines", project="shop", pipeline="two")
        (review,) = (await factory.drive(run)).waiting
        assert review.kind == "review", review.question
        assert await git(factory, run, "show", f"factory/{run}:{LOG}") == f"{BASE}- maker\n- painter"
        files = await git(factory, run, "ls-tree", "-r", "--name-only", f"factory/{run}")
        ours = [path for path in files.split() if not path.startswith(".factory/")]
        assert ours == [f"docs/{name}.md" for name in ("extra", "maker", "painter", "scout")]

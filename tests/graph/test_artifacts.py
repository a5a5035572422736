"""What a check made for people to look at is kept beside the project, and the log says where."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from graph.attaching import attach
from graph.check_report import CheckSummary
from tests.graph.conftest import OpenSmall
from tests.packs.brain import Chat, write
from workspace.checks import browser


async def test_the_picture_of_the_page_is_an_artifact_of_the_run(open_small: OpenSmall) -> None:
    if not browser.find():
        pytest.skip("no Chromium on this machine")

    def with_a_page(chat: Chat) -> str:
        if chat.turn > 0:
            return "Done."
        page = "<!doctype html><title>Shop</title><h1>Shop</h1>"
        return write("docs/scout.md", "# Scout") + write("docs/web/index.html", page)

    async with open_small({"scout/work": with_a_page}) as factory:
        if not factory.sandbox.available:
            pytest.skip("a browser is only started in a sandbox, and none holds here")
        project = factory.settings.home / "projects" / "shop" / "project.toml"
        project.parent.mkdir(parents=True)
        serve = "python -m http.server {port} --bind 127.0.0.1 --directory docs/web"
        project.write_text(f'[page]\ncommand = "{serve}"\n')
        run_id = await factory.submit("Small pages", project="shop", pipeline="one")
        (review,) = (await factory.drive(run_id)).waiting
        told = {
            str(e.payload["name"]): e.payload for e in await factory.events.read(run_id, kinds=["check.ran"])
        }
        assert told["browser"]["passed"] is not None, told["browser"]["summary"]
        kept: Any = told["browser"]["artifacts"]
        content = Path(kept[0]["path"]).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert hashlib.sha256(content).hexdigest() == kept[0]["sha256"]
        assert kept[0]["path"] in review.question

        # The thread of the review has the picture, on the run's branch and then released with it.
        asked = next(
            each for each in await (await factory.services.mail(run_id)).all() if each.kind == "review"
        )
        (attached,) = asked.attachments
        assert f"![{attached.rpartition('/')[2]}](attachments/" in asked.body
        repository = await factory.services.repository(run_id)
        await factory.answer(review.id, "approve", None, by="Ada")
        assert (await factory.drive(run_id)).status == "completed"
        blob = subprocess.run(
            ["git", "show", f"main:{attached}"], cwd=repository.path, capture_output=True, check=True
        )
        assert blob.stdout == content


async def test_a_picture_is_attached_once_and_one_that_is_gone_is_left_out(
    open_small: OpenSmall, tmp_path: Path
) -> None:
    picture = tmp_path / "page.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n picture")
    seen = CheckSummary(
        name="browser", passed=True, score=100, weight=10, idle=False, summary="", ticks=[], details=[],
        before=[], artifacts=[str(picture), str(tmp_path / "gone.png")],
    )  # fmt: skip
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        await factory.drive(run_id)
        repository = await factory.services.repository(run_id)
        (path,) = await attach(factory.services, run_id, [seen])
        head = await repository.run_head(run_id)
        assert path in await repository.files(head)
        assert await attach(factory.services, run_id, [seen]) == [path]
        assert await repository.run_head(run_id) == head

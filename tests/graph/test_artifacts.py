"""What a check made for people to look at is kept beside the project, and the log says where."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

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
        project = factory.settings.home / "projects" / "shop" / "project.toml"
        project.parent.mkdir(parents=True)
        serve = "python -m http.server {port} --bind 127.0.0.1 --directory docs/web"
        project.write_text(f'[page]\ncommand = "{serve}"\n')
        run_id = await factory.submit("Small pages", project="shop", pipeline="one")
        (review,) = (await factory.drive(run_id)).waiting
        told = {
            str(e.payload["name"]): e.payload for e in await factory.events.read(run_id, kinds=["check.ran"])
        }
        if told["browser"]["passed"] is None:
            pytest.skip(str(told["browser"]["summary"]))
        kept: Any = told["browser"]["artifacts"]
        content = Path(kept[0]["path"]).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert hashlib.sha256(content).hexdigest() == kept[0]["sha256"]
        assert kept[0]["path"] in review.question

"""What people send that cannot be used: it is refused, said, and nothing else happens."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from chat.threads import Sent
from chat.uploads import UploadRefused, read_files
from core import clock
from tests.chat.conftest import OpenChat


def zipped(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


def _sent(folder: Path, name: str, content: bytes) -> Sent:
    path = folder / "sent"
    path.write_bytes(content)
    return Sent("id", path, name, "")


async def test_a_repository_that_was_sent_is_where_the_run_starts(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.tab() as tab:
        content = zipped(
            **{"app/main.py": "print(1)\n", "app/.git/hooks/post-checkout": "#!/bin/sh\ntouch /tmp/x\n"}
        )
        file = (await tab.upload("app.zip", content, "application/zip")).json()["id"]
        await tab.say("Say hello to ferns", files=[file], pipeline="one")
        await tab.until(
            lambda tab: [s for s in tab.steps.values() if s["type"] == "run" and "run_id" in s["metadata"]]
        )
        run = (await chat.factory.services.runs.list())[0]
        repository = await chat.factory.services.project(run.project)
        assert await repository.files(await repository.main()) == ["main.py"]
        element = next(e for e in tab.elements.values() if e["name"] == "app.zip")
        assert "chainlitKey" in element or element["url"].startswith("/chat/files/")
        again = await tab.http.get(f"/chat/files/{file}")
        assert again.content == content


async def test_files_of_wrong_kind_and_size_are_refused(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.tab() as tab:
        assert (await tab.upload("a.exe", b"MZ", "application/octet-stream")).status_code == 400
        known = (await tab.http.get("/chat/project/settings")).json()["features"]["spontaneous_file_upload"]
        assert known["max_size_mb"] == 9  # so the page itself refuses a bigger one
        try:
            huge = await tab.upload("big.zip", b"0" * 50_000_000, "application/zip")
            assert huge.status_code == 413
        except httpx.TransportError:
            pass  # cut off before all of it was sent
        file = (await tab.upload("app.zip", b"no zip", "application/zip")).json()["id"]
        await tab.say("Say hello", files=[file])
        told = await tab.until(lambda tab: tab.texts())
        assert "cannot be unpacked" in told[0]
        assert "Nothing was started" in told[0]
        assert await chat.factory.services.runs.list() == []


@pytest.mark.parametrize("name", ["../out.txt", "/etc/passwd", "a/../../out.txt", "C:/x.txt"])
def test_an_archive_does_not_write_outside_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UploadRefused, match="leads out of it"):
        read_files((_sent(tmp_path, "a.zip", zipped(**{name: "x"})),), tmp_path / "target")


def test_an_archive_with_a_link_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(UploadRefused, match="link or a device"):
        read_files((_sent(tmp_path, "a.tar.gz", packed.getvalue()),), tmp_path / "target")


def test_a_bomb_is_refused_by_what_comes_out_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.uploads.MOST_BYTES", 100_000)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"0" * 1_000_000)
    with pytest.raises(UploadRefused, match="MB"):
        read_files((_sent(tmp_path, "a.zip", packed.getvalue()),), tmp_path / "target")


def _damaged(packed: bytes, how: str) -> bytes:
    """A zip that is locked, packed in a way nobody knows, or with other bytes in the middle."""
    content = bytearray(packed)
    listed = packed.index(b"PK\x01\x02")
    if how == "locked":
        content[6] |= 1
        content[listed + 8] |= 1
    elif how == "unknown":
        content[8] = content[listed + 10] = 99
    else:
        content[45:60] = b"\xff" * 15
    return bytes(content)


@pytest.mark.parametrize("how", ["locked", "unknown", "broken"])
def test_an_archive_that_cannot_be_unpacked_is_refused(tmp_path: Path, how: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("src/app.py", "x = 1\n" * 200)
    with pytest.raises(UploadRefused, match="cannot be unpacked"):
        read_files((_sent(tmp_path, "a.zip", _damaged(packed.getvalue(), how)),), tmp_path / "target")


async def test_an_operator_answers_but_does_not_approve_and_a_late_decision_is_told_so(
    open_chat: OpenChat,
) -> None:
    async with open_chat() as chat, chat.tab("otto") as tab:
        await tab.say("A page about ferns", pipeline="one")
        card = (await tab.until(lambda tab: tab.open_cards()))[0]
        refused = await tab.decide(card["approval_id"], "approve")
        assert not refused["ok"]
        assert "may not approve" in refused["what"]
        async with chat.factory.db.pool.connection() as conn:
            past = clock.now() - timedelta(minutes=1)
            await conn.execute("UPDATE approvals SET expires_at = %s", (past,))
        late = await tab.decide(card["approval_id"], "respond", "Too late")
        assert "the clock" in late["what"]
        shown = await tab.until(lambda tab: [card["decided"] for card in tab.cards() if card["decided"]])
        assert shown[0]["decision"] == "expired"


async def test_two_chats_show_one_run(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.tab() as tab, chat.tab("anna") as other:
        await tab.say("A page about ferns", pipeline="one")
        card = (await tab.until(lambda tab: tab.open_cards()))[0]
        await other.say(f"/follow {card['run_id']}")
        await other.until(lambda other: other.open_cards())
        await other.say("/status")
        await other.until(lambda other: any("Waits for you (review)" in text for text in other.texts()))
        assert (await tab.decide(card["approval_id"], "approve"))["ok"]
        await other.until(lambda other: other.finished())
        assert [card["decided"]["by"] for card in other.cards()] == ["dora"]


async def test_html_and_scripts_in_a_requirement_stay_text(open_chat: OpenChat) -> None:
    async with open_chat() as chat, chat.tab() as tab:
        await tab.say("<script>window.bitten = 1</script> <img src=x onerror=alert(1)> ferns", pipeline="one")
        card = (await tab.until(lambda tab: tab.open_cards()))[0]
        await tab.decide(card["approval_id"], "reject", "<b>No</b> <script>window.bitten = 1</script>")
        await tab.until(lambda tab: tab.finished())
        await tab.say("/why")
        await tab.until(lambda tab: any("*(event " in text for text in tab.texts()))
        # What a person types is never read as Markdown; in what we say, all of it is escaped.
        said = [str(step["output"]) for step in tab.steps.values() if step["type"] != "user_message"]
        assert [text for text in said if re.search(r"(?<!\\)<[a-z/]", text)] == []

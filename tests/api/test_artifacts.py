"""What a run made, read over HTTP."""

from __future__ import annotations

import io
import tarfile
import zipfile
from hashlib import sha1
from pathlib import Path

from tests.api.conftest import OpenServed, Served
from tests.api.test_projects import bundle
from tests.api.waiting import ASKING, ONE, asked, ended, submitted


async def _ran(served: Served) -> str:
    run_id = await submitted(served, ONE)
    await ended(served, run_id)
    return run_id


async def test_the_files_of_a_run_are_listed_and_read(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await _ran(served)
        path = f"/api/v1/runs/{run_id}/artifacts"
        first = (await served.http.get(path, params={"limit": 1})).json()
        rest = (await served.http.get(path, params={"after": first["next"]})).json()
        files = first["items"] + rest["items"]
        assert [one["path"] for one in files] == sorted(one["path"] for one in files)
        product = [one for one in files if not one["path"].startswith(".factory")]
        assert product
        for one in product:
            assert one["changed"]
            read = await served.http.get(f"{path}/{one['path']}")
            assert (len(read.content), read.headers["etag"]) == (one["size"], one["etag"])
            blob = b"blob %d\0%b" % (len(read.content), read.content)
            assert f'"{sha1(blob).hexdigest()}"' == one["etag"]


async def test_no_browser_runs_what_a_run_made(open_served: OpenServed, tmp_path: Path) -> None:
    async with open_served() as served:
        sent = bundle(tmp_path, "<script>alert(1)</script>")
        await served.http.put("/api/v1/projects/library/import", content=sent)
        run_id = await submitted(served, ASKING | {"project": "library"})
        await asked(served, run_id)
        read = await served.http.get(f"/api/v1/runs/{run_id}/artifacts/hello.txt")
        assert read.text == "<script>alert(1)</script>"
        assert read.headers["content-type"] == "text/plain; charset=utf-8"
        assert read.headers["x-content-type-options"] == "nosniff"
        assert read.headers["content-security-policy"].startswith("sandbox")
        assert read.headers["content-disposition"].startswith("attachment")


async def test_ranges_are_read_as_http_has_them(open_served: OpenServed, tmp_path: Path) -> None:
    async with open_served() as served:
        text = "".join(f"{number:06}\n" for number in range(30_000))
        await served.http.put("/api/v1/projects/library/import", content=bundle(tmp_path, text))
        run_id = await submitted(served, ASKING | {"project": "library"})
        await asked(served, run_id)
        path, whole = f"/api/v1/runs/{run_id}/artifacts/hello.txt", text.encode()
        for range_, start, end in (
            ("bytes=0-6", 0, 7),
            ("bytes=140000-", 140_000, len(whole)),
            ("bytes=-7", len(whole) - 7, len(whole)),
            ("bytes=70000-99999999999", 70_000, len(whole)),
        ):
            part = await served.http.get(path, headers={"Range": range_})
            assert (part.status_code, part.content) == (206, whole[start:end])
            assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(whole)}"
        for range_ in ("bytes=999999999-", "bytes=-0", "bytes=7-6"):
            refused = await served.http.get(path, headers={"Range": range_})
            assert (refused.status_code, refused.headers["content-range"]) == (416, f"bytes */{len(whole)}")
        for range_ in ("bytes=-", "lines=0-1", "bytes=0-1,4-5", "x" * 5_000):
            plain = await served.http.get(path, headers={"Range": range_})
            assert (plain.status_code, plain.content) == (200, whole)
        tag = plain.headers["etag"]
        old = await served.http.get(path, headers={"Range": "bytes=0-6", "If-Range": '"old"'})
        assert old.status_code == 200
        assert (await served.http.get(path, headers={"If-None-Match": tag})).status_code == 304


async def test_no_path_leads_out_or_is_an_option(open_served: OpenServed) -> None:
    async with open_served() as served:
        path = f"/api/v1/runs/{await _ran(served)}/artifacts"
        for name in (
            "..%2f..%2fetc%2fpasswd",
            "%2e%2e/x",
            "%00",
            "/etc/passwd",
            "a%2f%2fb",
            "%ff",
            "-x",
            "-r",
        ):
            read = await served.http.get(f"{path}/{name}")
            assert read.status_code == 404, (name, read.text)


async def test_all_files_come_in_one_archive(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await _ran(served)
        listed = (await served.http.get(f"/api/v1/runs/{run_id}/artifacts")).json()["items"]
        expected = {
            f"{run_id}/{one['path']}": (
                await served.http.get(f"/api/v1/runs/{run_id}/artifacts/{one['path']}")
            ).content
            for one in listed
        }
        sent = await served.http.get(f"/api/v1/runs/{run_id}/archive")
        assert sent.headers["content-type"] == "application/x-tar"
        with tarfile.open(fileobj=io.BytesIO(sent.content)) as pack:
            files = {one.name: pack.extractfile(one) for one in pack.getmembers()}
            assert {name: file.read() for name, file in files.items() if file} == expected
        zipped = await served.http.get(f"/api/v1/runs/{run_id}/archive", params={"format": "zip"})
        with zipfile.ZipFile(io.BytesIO(zipped.content)) as pack:
            assert pack.testzip() is None
            assert {name: pack.read(name) for name in pack.namelist()} == expected
        again = await served.http.get(f"/api/v1/runs/{run_id}/archive")
        assert again.content == sent.content


async def test_a_run_shows_what_it_changed(open_served: OpenServed) -> None:
    async with open_served() as served:
        run_id = await _ran(served)
        told = (await served.http.get(f"/api/v1/runs/{run_id}/diff")).json()
        assert told["diff"].startswith("diff --git")
        stat = (await served.http.get(f"/api/v1/runs/{run_id}/diff", params={"stat": True})).json()
        assert "insertion" in stat["diff"]

"""Tiny wheels, honest and hostile, made in a moment; and an index that serves a folder of them."""

import base64
import hashlib
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MIT = "License-Expression: MIT"


def wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    files: Mapping[str, str | bytes] | None = None,
    *,
    metadata: Sequence[str] = (MIT,),
    needs: Sequence[str] = (),
    extra: Sequence[tuple[zipfile.ZipInfo, bytes]] = (),
) -> Path:
    """Write a wheel; without `files` it holds one module that knows its version. `extra` are raw entries."""
    info = f"{name}-{version}.dist-info"
    given = {f"{name}.py": f"VERSION = {version!r}\n"} if files is None else dict(files)
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *metadata]
    lines += [f"Requires-Dist: {need}" for need in needs]
    given[f"{info}/METADATA"] = "\n".join(lines) + "\n\nWords.\n"
    given[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = {path: text.encode() if isinstance(text, str) else text for path, text in given.items()}
    record = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for path, data in content.items()
    ]
    content[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, data in content.items():
            # Always the same time, so that the same wheel has the same bytes.
            archive.writestr(zipfile.ZipInfo(inner), data, zipfile.ZIP_DEFLATED)
        for entry, data in extra:
            archive.writestr(entry, data)
    return path


def digest(path: Path) -> str:
    """A file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Index(ThreadingHTTPServer):
    folder: Path
    asked: list[str]
    wrong: bool


class _Simple(BaseHTTPRequestHandler):
    server: _Index

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        name = self.path.strip("/").rpartition("/")[2]
        if self.path.startswith("/files/") and (self.server.folder / name).is_file():
            return self._send((self.server.folder / name).read_bytes(), "application/octet-stream")
        links = [
            f'<a href="/files/{path.name}#sha256={self._sum(path)}">{path.name}</a>'
            for path in sorted(self.server.folder.iterdir())
            if path.name.partition("-")[0].lower() == name
        ]
        if not self.path.startswith("/simple/") or not links:
            return self.send_error(404)
        return self._send(f"<!DOCTYPE html><body>{''.join(links)}</body>".encode(), "text/html")

    def _sum(self, path: Path) -> str:
        return "0" * 64 if self.server.wrong else digest(path)

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not on anybody's terminal."""


class Index:
    """A running index."""

    def __init__(self, server: _Index) -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}/simple/"
        self.port = server.server_address[1]

    @property
    def asked(self) -> list[str]:
        """Every path that was asked for."""
        return self._server.asked


@contextmanager
def index(folder: Path, *, wrong: bool = False) -> Iterator[Index]:
    """Serve a folder as a simple index (PEP 503); `wrong`: with hashes that are not those of the files."""
    with _Index(("127.0.0.1", 0), _Simple) as server:
        server.folder, server.asked, server.wrong = folder, [], wrong
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield Index(server)
        finally:
            server.shutdown()
            thread.join()

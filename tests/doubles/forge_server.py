"""A server that speaks the REST APIs of GitHub, GitLab and Gitea, and git's own protocol beside them.

It keeps pull requests in memory and refuses what the real ones refuse: a wrong token, an unknown repository,
a branch or base that is not there, a second open request for the same branch. `failures` are statuses (or
"hang", "cut", "after": done, but the answer is lost) that its next API requests meet, one each.
"""

import base64
import contextlib
import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_PULLS = re.compile(r"/(?P<api>github|gitea)/repos/(?P<repo>[^/]+/[^/]+)(?P<pulls>/pulls)?")
_MERGES = re.compile(r"/gitlab/projects/(?P<repo>[^/]+)(?P<pulls>/merge_requests)?")
_GIT = re.compile(r"/(?P<repo>[^/]+/[^/]+)\.git/.*")


@dataclass
class ForgeServer:
    """The server. Starts on entering the context, on a free port of 127.0.0.1."""

    root: Path
    """Folder that holds the bare repositories, as `owner/name.git`."""
    token: str = "the-token-of-the-tests"
    failures: list[int | str] = field(default_factory=list[int | str])
    retry_after: str = ""
    """The header that goes with a 403 or 429."""
    pulls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    requests: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(method, path with query) of every API request so far."""
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    default_branch: str = "trunk"

    def __enter__(self) -> "ForgeServer":
        self.lock = threading.Lock()
        self.ended = threading.Event()
        forge = self

        class Handler(_Handler):
            server_double = forge

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def api(self, forge: str) -> str:
        """The endpoint of that forge's API."""
        return f"{self.url}/{forge}"

    def git_url(self, repository: str) -> str:
        """Where git clones and pushes."""
        return f"{self.url}/{repository}.git"

    def has_branch(self, repository: str, branch: str) -> bool:
        """Whether the bare repository has that branch."""
        found = subprocess.run(
            ["git", "show-ref", "--verify", "-q", f"refs/heads/{branch}"],
            cwd=self.root / f"{repository}.git",
            check=False,
        )
        return found.returncode == 0


class _Handler(BaseHTTPRequestHandler):
    server_double: ForgeServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        path = urlsplit(self.path).path
        if match := _PULLS.fullmatch(path):
            self._api(method, match["api"], match["repo"], bool(match["pulls"]))
        elif match := _MERGES.fullmatch(path):
            self._api(method, "gitlab", unquote(match["repo"]), bool(match["pulls"]))
        elif match := _GIT.fullmatch(path):
            self._git(method, match["repo"])
        else:
            self._body()
            self._json(404, {"message": "Not Found"})

    # --- the APIs

    def _api(self, method: str, api: str, repository: str, pulls: bool) -> None:
        forge = self.server_double
        body = self._body()
        with forge.lock:
            forge.requests.append((method, self.path))
            forge.headers.append(dict(self.headers.items()))
            failure = forge.failures.pop(0) if forge.failures else None
        if failure == "hang":
            forge.ended.wait(30)
            return self._cut()
        if failure == "cut":
            return self._cut()
        if isinstance(failure, int):
            extra = {"Retry-After": forge.retry_after} if forge.retry_after else {}
            if 300 <= failure < 400:
                extra["Location"] = f"{forge.url}/elsewhere"
            return self._json(failure, {"message": f"failing with {forge.token} as told"}, extra)
        if not self._token_is_right(api):
            return self._json(401, {"message": "Bad credentials"})
        if not (forge.root / f"{repository}.git").is_dir():
            return self._json(404, {"message": "Not Found"})
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if not pulls:
            return self._json(200, {"default_branch": forge.default_branch, "id": 1})
        if method == "GET":
            return self._json(200, self._listed(api, repository, query))
        status, answer = self._created(api, repository, json.loads(body))
        if failure == "after":
            return self._cut()
        return self._json(status, answer)

    def _token_is_right(self, api: str) -> bool:
        token = self.server_double.token
        name, value = {
            "github": ("Authorization", f"Bearer {token}"),
            "gitlab": ("PRIVATE-TOKEN", token),
            "gitea": ("Authorization", f"token {token}"),
        }[api]
        return self.headers.get(name) == value

    def _listed(self, api: str, repository: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        forge = self.server_double
        rows = [one for one in reversed(forge.pulls) if one["repository"] == repository]
        if api == "github":
            head = query.get("head", "").partition(":")[2]
            rows = [one for one in rows if head in ("", one["branch"]) and query.get("base") == one["base"]]
        if api == "gitlab":
            source = query.get("source_branch")
            rows = [one for one in rows if source in (None, one["branch"])]
        if api == "gitea":
            size, page = min(int(query.get("limit", 30)), 2), int(query.get("page", 1))
            rows = rows[size * (page - 1) : size * page]  # as a server with a small page size
        return [self._row(api, one) for one in rows]

    def _created(self, api: str, repository: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        forge = self.server_double
        names = {"gitlab": ("source_branch", "target_branch", "description")}
        head, base, text = (body[name] for name in names.get(api, ("head", "base", "body")))
        for branch in (head, base):
            if not forge.has_branch(repository, branch):
                return 422, {"message": "Validation Failed", "errors": [{"field": branch, "code": "invalid"}]}
        with forge.lock:
            for one in forge.pulls:
                if (one["repository"], one["branch"], one["state"]) == (repository, head, "open"):
                    taken = 422 if api == "github" else 409
                    return taken, {"message": f"A pull request already exists for {head}"}
            number = len(forge.pulls) + 1
            one = {
                "repository": repository,
                "number": number,
                "branch": head,
                "base": base,
                "title": body["title"],
                "body": text,
                "state": "open",
            }
            forge.pulls.append(one)
        return 201, self._row(api, one)

    def _row(self, api: str, one: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self.server_double.url}/{one['repository']}/pull/{one['number']}"
        if api == "gitlab":
            state = {"open": "opened"}.get(str(one["state"]), one["state"])
            return {
                "iid": one["number"],
                "web_url": url,
                "state": state,
                "source_branch": one["branch"],
                "target_branch": one["base"],
            }
        merged = one["state"] == "merged"
        return {
            "number": one["number"],
            "html_url": url,
            "state": "closed" if merged else one["state"],
            "merged": merged,
            "merged_at": "2026-01-01T00:00:00Z" if merged else None,
            "head": {"ref": one["branch"]},
            "base": {"ref": one["base"]},
        }

    # --- git

    def _git(self, method: str, repository: str) -> None:
        forge = self.server_double
        body = self._body()
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        with contextlib.suppress(ValueError):
            given = base64.b64decode(given).decode().partition(":")[2]
        if given != forge.token:
            return self._json(401, {"message": "no"}, {"WWW-Authenticate": 'Basic realm="forge"'})
        parts = urlsplit(self.path)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(forge.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "somebody",
            "REQUEST_METHOD": method,
            "PATH_INFO": unquote(parts.path),
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(fields.pop("Status", "200 OK").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None

    # --- the wire

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def _json(self, status: int, value: Any, extra: Mapping[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for name, text in {"Content-Type": "application/json", **(extra or {})}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

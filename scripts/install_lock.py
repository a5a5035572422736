"""Installs a lock, hashes checked, into the virtual environment whose Python runs this.

    .venv/bin/python scripts/install_lock.py requirements.lock

By uv, which takes a third of pip's time. uv itself comes by pip, with the hashes of requirements-dev.lock,
into a folder that is gone afterwards. It is told where pip looks for packages, in its environment only. What
uv cannot do (no wheel of it for this machine, a login that only pip knows, an option it has no word for) pip
does.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps")
_UV = ("pip", "install", "--quiet", "--require-hashes", "--no-deps", "--compile-bytecode")

_SAME_IN_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "trusted-host": "UV_INSECURE_HOST",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
"""Options of pip, and the variables by which uv is told the same."""
_ON = {"1", "true", "yes", "on"}
_OF_NO_MATTER = {
    *("break-system-packages", "cache-dir", "config-file", "disable-pip-version-check", "no-cache-dir"),
    *("no-color", "no-input", "no-warn-script-location", "prefer-binary", "progress-bar", "quiet"),
    *("require-virtualenv", "retries", "root-user-action", "verbose"),
}
"""Options that change nothing of what is installed, or from where."""


def configured() -> dict[str, str]:
    """What pip is configured to do when it installs: option and value, from its files and the environment."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.partition(".")
        if section in sections:
            sections[section][option] = str(ast.literal_eval(value))
    return sections["global"] | sections["install"] | sections[":env:"]


def told_to_uv(options: Mapping[str, str]) -> tuple[list[str], dict[str, str]] | None:
    """Arguments and variables by which uv looks where pip would; None when there is no word for an option."""
    # pip takes a file from any index, as its hash says that it is the right one.
    arguments = ["--index-strategy", "unsafe-best-match"]
    told = {"UV_NO_CONFIG": "1"}
    for option, value in options.items():
        if option in _SAME_IN_UV:
            told[_SAME_IN_UV[option]] = " ".join(value.split())
        elif option == "find-links":
            arguments += [part for place in value.split() for part in ("--find-links", place)]
        elif option == "no-index":
            arguments += ["--no-index"] if value.lower() in _ON else []
        elif option not in _OF_NO_MATTER:
            return None
    return arguments, told


def entry_of_uv(lock: str) -> str:
    """The entry of uv, with its hashes, in the text of a lock; empty when there is none."""
    entry: list[str] = []
    for line in lock.splitlines():
        if line.startswith("uv==") or (entry and entry[-1].endswith("\\")):
            entry.append(line)
    return "\n".join([*entry, ""]) if entry else ""


def got_uv(folder: Path) -> str | None:
    """The program of uv, installed into `folder`; None when it cannot be had."""
    entry = entry_of_uv((_ROOT / "requirements-dev.lock").read_text(encoding="utf-8"))
    if not entry:
        return None
    (folder / "uv.lock").write_text(entry, encoding="utf-8")
    command = [*_PIP, "--only-binary", ":all:", "--no-compile", "--target", str(folder / "uv")]
    subprocess.run([*command, "-r", str(folder / "uv.lock")], check=False)
    return shutil.which("uv", path=folder / "uv" / "bin")


def by_uv(lock: Path) -> bool:
    """Whether uv installed the lock."""
    said = told_to_uv(configured())
    if said is None:
        return False
    arguments, told = said
    # A UV_* of whoever calls might name other places, or switch the hashes off.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("UV_") or name in {"UV_CACHE_DIR", "UV_LINK_MODE"}
    }
    with tempfile.TemporaryDirectory(dir=sys.prefix, prefix=".uv-") as folder:
        uv = got_uv(Path(folder))
        if uv is None:
            return False
        command = [uv, *_UV, "--python", sys.executable, *arguments, "-r", str(lock)]
        return subprocess.run(command, env=kept | told, check=False).returncode == 0


def main() -> int:
    """Install the lock that the command line names; the exit status is pip's where uv did not do it."""
    lock = Path(sys.argv[1]).resolve()
    if by_uv(lock):
        return 0
    print("set-up: not by uv; pip takes a minute or two", file=sys.stderr)
    return subprocess.run([*_PIP, "-r", str(lock)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

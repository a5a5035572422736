"""How the page looks and what it is called: the folder that Chainlit reads its settings from.

Chainlit writes into the folder it is imported in and takes its settings from there, so it gets one of its own
under the factory's home. Its settings are written anew at each start; pictures and scripts stay in `public/`.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from core.settings import Settings

PUBLIC: Final = Path(__file__).parent / "public"
"""What the page may fetch without being signed in: logo, colours, scripts. Nothing of anybody's."""
NAME: Final = "Factory"
COOKIE: Final = "factory_chat"
MOST_UPLOAD_MB: Final = 20
"""Megabytes of a file, where the server's own limit on a request (`max_body`) leaves room for it."""
ACCEPTED: Final = {
    "text/plain": [".txt", ".md"],
    "text/markdown": [".md"],
    "application/zip": [".zip"],
    "application/x-zip-compressed": [".zip"],
    "application/x-tar": [".tar"],
    "application/gzip": [".tar.gz", ".tgz"],
    "application/x-gzip": [".tar.gz", ".tgz"],
    "application/x-compressed-tar": [".tar.gz", ".tgz"],
}
"""Kinds of files that can be sent: a requirement as text, or a repository as an archive."""

_CONFIG: Final = f"""
[project]
session_timeout = 600
user_session_timeout = 1296000
allow_origins = []
[features]
unsafe_allow_html = false
latex = false
user_message_markdown = false
edit_message = false
allow_thread_sharing = false
favorites = false
[features.spontaneous_file_upload]
enabled = true
max_files = 1
max_size_mb = @UPLOAD@
accept = {{ {", ".join(f"{json.dumps(kind)} = {json.dumps(ends)}" for kind, ends in ACCEPTED.items())} }}
[features.mcp]
enabled = false
[UI]
name = "{NAME}"
description = "A self-hosted software factory: say what you want, watch the teams, decide, get the result."
language = "en-US"
cot = "full"
default_theme = "light"
default_sidebar_state = "open"
confirm_new_chat = false
custom_css = "/public/factory.css"
custom_js = "/public/factory.js"
custom_js_attributes = "defer"
login_page_image = "/chat/public/favicon.svg"
custom_meta_url = "/chat/"
custom_meta_image_url = "/chat/public/favicon.svg"
[meta]
generated_by = "2.12.0"
"""

_WORDS: Final[dict[str, str]] = {
    "chat.messages.status.using": "",
    "chat.messages.status.used": "",
    "chat.input.placeholder": "Say what you want, or / for commands",
    "chat.watermark": "Models make mistakes. What reaches main was checked, and a person agreed.",
    "auth.login.title": "Sign in to the factory",
    "auth.login.form.email.label": "Your name",
    "auth.login.form.email.required": "a name is needed",
    "auth.login.form.email.placeholder": "as the factory knows you",
    "auth.login.form.password.label": "Token",
    "auth.login.form.password.required": "the token is needed",
    "auth.login.errors.credentialsSignin": "That token is not valid. The server printed one when it started.",
    "threadHistory.sidebar.title": "Conversations",
    "navigation.header.readme": "Help",
    "threadHistory.sidebar.empty": "No conversations yet",
}
"""What Chainlit's own page says otherwise."""

HELP: Final = Path(__file__).parent / "help.md"


def prepare(settings: Settings, announcements: Sequence[str] = ()) -> Path:
    """Write the folder and let Chainlit find it; gives it back. `announcements` stand below every page."""
    root = settings.home / "chat"
    (root / ".files").mkdir(parents=True, exist_ok=True)
    (root / "files").mkdir(exist_ok=True)
    root.chmod(0o700)
    folder = root / ".chainlit"
    (folder / "translations").mkdir(parents=True, exist_ok=True)
    most = max(1, min(MOST_UPLOAD_MB, settings.max_body // 1_000_000 - 1))
    (folder / "config.toml").write_text(_CONFIG.replace("@UPLOAD@", str(most)), encoding="utf-8")
    words = json.loads((_installed() / "translations" / "en-US.json").read_text(encoding="utf-8"))
    for name, said in _WORDS.items():
        _say(words, name.split("."), said)
    if announcements:
        _say(words, ["chat", "watermark"], " · ".join(f"**{text}**" for text in announcements))
    (folder / "translations" / "en-US.json").write_text(json.dumps(words), encoding="utf-8")
    (root / "chainlit_en-US.md").write_text(HELP.read_text(encoding="utf-8"), encoding="utf-8")
    os.environ["CHAINLIT_APP_ROOT"] = str(root)
    os.environ["CHAINLIT_ROOT_PATH"] = "/chat"
    os.environ["CHAINLIT_AUTH_COOKIE_NAME"] = COOKIE
    return root


def _installed() -> Path:
    """Chainlit's folder, found without importing it."""
    found = importlib.util.find_spec("chainlit")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def _say(words: dict[str, Any], path: list[str], said: str) -> None:
    for part in path[:-1]:
        words = words[part]
    assert path[-1] in words, f"Chainlit no longer says {path[-1]}"
    words[path[-1]] = said

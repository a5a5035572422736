"""A look at the product's page with a real browser: it is served inside the sandbox, on loopback and without
any other network, opened once, and photographed."""

import asyncio
import base64
import binascii
import os
import re
import secrets
import shutil

from workspace.checks.result import Artifact, Finding, Findings, Tick, idle, not_run, one_line
from workspace.checks.scene import Report, Scene
from workspace.declared import Page
from workspace.files import Files

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What distributions start by a script that needs more of /etc than the sandbox shows.
_BEHIND = ("/usr/lib/chromium/chromium", "/usr/lib64/chromium-browser/chromium-browser")
_PORT = 8765
_LARGEST_PICTURE = 5_000_000
_PNG = b"\x89PNG\r\n\x1a\n"
_ADDRESS_SPACE = 1 << 46
"""V8 reserves far more addresses than it uses; the memory itself stays bounded by the policy."""
_SECONDS = 60
_NO_ANSWER = 70

_CONSOLE = re.compile(r'CONSOLE[^"]*"(?P<said>.*)", source: (?P<source>\S*) \((?P<line>\d+)\)')
_ERROR = re.compile(r"Uncaught|Failed to load resource|SyntaxError|TypeError|ReferenceError|is not defined")
_HARMLESS = re.compile(r"favicon\.ico")

_FLAGS = " ".join(
    (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *("--disable-extensions", "--disable-background-networking", "--disable-sync", "--mute-audio"),
        *("--user-data-dir=/tmp/browser", "--window-size=1280,800", "--virtual-time-budget=5000"),
        *("--enable-logging=stderr", "--v=0", "--screenshot=/tmp/page.png"),
    )
)

# Waits for an answer below 400, then says the status; the product has a moment to start.
_WAIT = """
import sys, time, urllib.error, urllib.request
end = time.monotonic() + float(sys.argv[2])
while True:
    try:
        print(urllib.request.urlopen(sys.argv[1], timeout=5).status)
        break
    except urllib.error.HTTPError as error:
        print(error.code)
        break
    except (OSError, ValueError) as error:
        if time.monotonic() > end:
            print(error)
            sys.exit(70)
        time.sleep(0.1)
"""


async def look(scene: Scene) -> Report:
    """Serve the page, open it, and tell what the browser complained of."""
    page = scene.settings.page or await asyncio.to_thread(guess, scene.files)
    if page is None:
        return idle("browser", "there is no page: no index.html, and no [page] in project.toml")
    program = await asyncio.to_thread(find)
    if not program:
        return not_run("browser", f"no browser on this machine ({', '.join(_PROGRAMS)})")
    if scene.sandbox.unsafe:
        return not_run("browser", "a browser is only started in a sandbox, and none holds here")
    mark = f"::{secrets.token_hex(8)}::"
    address = f"http://127.0.0.1:{_PORT}{page.path}"
    script = "\n".join(
        (
            '/bin/sh -c "$FACTORY_PAGE" >/tmp/server.log 2>&1 &',
            f'python -c "$FACTORY_WAIT" "$FACTORY_ADDRESS" {page.seconds} || code=$?',
            f"echo; echo '{mark}'",
            f'[ -n "$code" ] || "$FACTORY_BROWSER" {_FLAGS} "$FACTORY_ADDRESS" 2>&1 | head -c 200000',
            f"echo; echo '{mark}'; tail -c 4000 /tmp/server.log",
            f"echo; echo '{mark}'",
            f"[ ! -f /tmp/page.png ] || head -c {_LARGEST_PICTURE + 1} /tmp/page.png | base64",
            'exit "${code:-0}"',
        )
    )
    ran = await scene.sandbox.run(
        script,
        scene.tree,
        timeout=min(scene.timeout, _SECONDS) + page.seconds,
        environment={
            "FACTORY_PAGE": page.command.replace("{port}", str(_PORT)),
            "FACTORY_WAIT": _WAIT,
            "FACTORY_ADDRESS": address,
            "FACTORY_BROWSER": program,
        },
        allowance=scene.room(address_space=_ADDRESS_SPACE, processes=1024),
    )
    parts = ran.output.split(mark)
    if ran.ended_by != "exit" or len(parts) != 4:
        limit = "time" if ran.ended_by == "timeout" else ran.ended_by
        return Findings([Finding(page.path, 1, f"it did not end: it passed the limit of {limit}")], "")
    answered, complained, served, picture = parts
    return _told(page, ran.exit_code, one_line(answered), complained, served, _picture(picture))


def _told(
    page: Page, code: int, answered: str, complained: str, served: str, picture: bytes | None
) -> Report:
    log = next((one_line(line) for line in reversed(served.splitlines()) if line.strip()), "")
    if code == _NO_ANSWER:
        what = f"the page does not answer within {page.seconds} s: {answered}"
        return Findings([Finding(page.path, 1, f"{what}; its server said: {log}")], "", each=100)
    if picture is None:
        last = next((one_line(line) for line in reversed(complained.splitlines()) if line.strip()), "")
        return not_run("browser", f"the browser gave no picture of the page: {last}")
    problems: list[Finding] = []
    if not answered.isdecimal() or int(answered) >= 400:
        problems.append(Finding(page.path, 1, f"the page answers with {answered}"))
    errors = [match for line in complained.splitlines() if (match := _CONSOLE.search(line))]
    for match in errors[:20]:
        if _ERROR.search(match["said"]) and not _HARMLESS.search(match["said"] + match["source"]):
            where = match["source"].partition(f":{_PORT}/")[2] or page.path
            problems.append(Finding(one_line(where)[:200], int(match["line"]), match["said"]))
    ticks = (
        Tick("the page answers", answered.isdecimal() and int(answered) < 400, answered),
        Tick("no script fails", not problems, ""),
        Tick("picture", None, f"{len(picture)} bytes"),
    )
    kept = (Artifact("page.png", picture),)
    return Findings(problems, f"{page.path} answers {answered} and is shown", 25, ticks, kept)


def _picture(text: str) -> bytes | None:
    """The PNG in base64, when it is one and not too big."""
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if content.startswith(_PNG) and len(content) <= _LARGEST_PICTURE else None


def find() -> str:
    """The browser's program, as the sandbox sees it; empty where there is none."""
    for name in _PROGRAMS:
        found = shutil.which(name)
        if not found:
            continue
        for behind in _BEHIND:
            if "chromium" in name and os.access(behind, os.X_OK):
                return behind
        if os.path.realpath(found).startswith("/usr/"):
            return os.path.realpath(found)
    return ""


def guess(files: Files) -> Page | None:
    """How a page is served that nobody declared: by the package that it lies in, else as a file."""
    pages = sorted((path for path in files.list("**/index.html")), key=lambda path: (path.count("/"), path))
    pages = [path for path in pages if not path.startswith(("tests/", "docs/"))]
    if not pages:
        return None
    package = re.match(r"src/(\w+)/", pages[0])
    main = f"src/{package[1]}/__main__.py" if package else ""
    if package and files.exists(main) and "--port" in files.read(main):
        return Page(command=f"cd /tmp && PYTHONPATH=$OLDPWD/src python -m {package[1]} --port {{port}}")
    folder = pages[0].rpartition("/")[0] or "."
    quoted = "'" + folder.replace("'", "'\\''") + "'"
    return Page(command=f"python -m http.server {{port}} --bind 127.0.0.1 --directory {quoted}")

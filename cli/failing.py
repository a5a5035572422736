"""How errors leave the program: three short lines on stderr, or one JSON object on stdout."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from typer import TyperException

from core.errors import FactoryError
from core.redaction import redact

INTERNAL = 4
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def guard(work: Callable[[], Any], arguments: list[str]) -> int:
    """Do `work` and return its exit code; what it raises is reported and becomes the code it stands for."""
    as_json = "--json" in arguments
    try:
        code = work()
    except FactoryError as error:
        _report(as_json, error.code, str(error), what=error.what, untouched=error.untouched, todo=error.todo)
        return error.exit_code
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError" and not as_json:
            # Nothing was said, so nothing was said wrong: the help is the answer.
            print(error.format_message(), file=sys.stderr)
            return 2
        help_hint = f"See: factory {_command(error)}--help"
        _report(as_json, "usage", error.format_message(), what=error.format_message(), todo=help_hint)
        return 2
    except BrokenPipeError:
        # The reader (head, less) has gone. Without this, the interpreter complains once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 (the last stop of every error)
        if _disk_is_full(error):
            what = f"The disk is full: {error}"
            _report(
                as_json,
                "disk-full",
                what,
                what=what,
                untouched="What was finished is kept",
                todo="Free some space; a run that was working goes on with: factory resume last",
            )
            return INTERNAL
        # Ours to mend. The trace is for the report; the person gets the same three lines as ever.
        print(redact(traceback.format_exc()), file=sys.stderr, end="")
        what = f"An error that the factory did not expect: {type(error).__name__}: {error}"
        _report(
            as_json,
            "internal-error",
            what,
            what=what,
            untouched="A run that was working can be resumed",
            todo="Please report it with the lines above",
        )
        return INTERNAL
    return code if isinstance(code, int) else 0


def _disk_is_full(error: Exception) -> bool:
    # By its SQLSTATE, so that no driver is loaded here.
    return (isinstance(error, OSError) and error.errno in _FULL) or getattr(error, "sqlstate", "") == "53100"


def _command(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = str(getattr(context, "command_path", "")).split()[1:]
    return "".join(f"{word} " for word in path)


def _report(
    as_json: bool, code: str, message: str, *, what: str, untouched: str = "", todo: str = ""
) -> None:
    message, what, untouched, todo = (redact(text) for text in (message, what, untouched, todo))
    if as_json:
        body = {"code": code, "message": message, "what": what, "untouched": untouched, "todo": todo}
        print(json.dumps({"error": body}, ensure_ascii=False, indent=2))
        return
    from cli.screen import Screen

    screen = Screen()
    if screen.err.is_terminal and code == "run-interrupted":
        screen.note()  # the terminal has just written ^C
    screen.note(f"✗ {what}", style="bold red")
    if untouched:
        screen.note(f"  {untouched}.")
    if todo:
        screen.note(f"  {todo}")

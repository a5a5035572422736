"""Writes a run's model calls to a cassette while it runs, by stages side by side, through crashes."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from langchain_core.messages import AIMessage

from core import clock
from core.errors import FactoryError
from core.json import JsonObject, JsonValue, canonical
from core.redaction import redact
from models.calls import Reply
from models.cassette import FORMAT, RUN, Asked, CassetteInvalid, Facts, Replay, digest_of, plain
from models.errors import ModelFailure


class Recorder:
    """Writes the calls of one run to a file, as they come."""

    def __init__(self, path: Path, home: Path) -> None:
        self._path = path
        self._home = home
        self._run = ""
        self._facts: dict[str, JsonObject] = {}
        self._written: set[str] = set()
        self._turn = threading.Lock()  # stages of a wave record side by side, each in a thread

    def require_room(self) -> None:
        """Raise CassetteInvalid where nothing can be written. Blocks for a moment."""
        there = self._path.exists()
        writable = os.access(self._path if there else self._path.absolute().parent, os.W_OK)
        fits = self._path.is_file() if there else self._path.absolute().parent.is_dir()
        if not (fits and writable):
            raise CassetteInvalid(
                f"Nothing can be recorded in {self._path}: "
                + (
                    "it may not be written"
                    if fits
                    else "it is no file"
                    if there
                    else "there is no such folder"
                ),
                untouched="Nothing was started",
                todo="Give another file to --record, or in FACTORY_RECORD_FILE",
            )

    def begin(self, run_id: str) -> None:
        """Begin the file for a run, or go on with it. Only the first run is written down.

        Raises CassetteInvalid where the file is there and is not this run's: nothing is overwritten.
        """
        with self._turn:
            if self._run:
                return
            if self._path.exists():
                self._go_on(run_id)
            else:
                self._line({"cassette": FORMAT, "run": run_id, "at": clock.now().isoformat()})
            self._run = run_id

    def _go_on(self, run_id: str) -> None:
        _, head = next(Replay.lines(self._path), (0, dict[str, Any]()))
        if head.get("cassette") != FORMAT or head.get("run") != run_id:
            raise CassetteInvalid(
                f"{self._path} is there already, and is no recording of run {run_id}",
                untouched="The file is as it was",
                todo="Give another file to --record",
            )
        # What a crash left of a line would swallow the next one.
        whole = self._path.read_bytes().rpartition(b"\n")
        os.truncate(self._path, len(whole[0]) + len(whole[1]))

    def facts(self, team: str | None, alias: str, facts: Sequence[Facts]) -> None:
        """Note what a team's alias can do; written with the next call."""
        known = [{"tools": one.tools, "window": one.window} for one in facts]
        self._facts[f"{team or ''} {alias}"] = cast(
            JsonObject, {"facts": alias, "team": team or "", "candidates": known}
        )

    def recalled(self, run_id: str, key: str, told: JsonValue) -> None:
        """Note what a stage was told from memory. Blocks for a moment."""
        self.begin(run_id)
        if run_id == self._run:
            settled = json.loads(canonical(told).replace(run_id, RUN))
            with self._turn:
                self._line({"recalled": key, "told": settled})

    def replied(self, asked: Asked, reply: Reply) -> None:
        """Note a reply. Blocks for a moment."""
        message = _settled_message(reply.message, asked.call.run_id)
        self._call(
            asked,
            {
                "reply": message,
                "provider": reply.provider,
                "model": reply.model,
                "account": reply.account,
                "input_tokens": reply.input_tokens,
                "output_tokens": reply.output_tokens,
                "cost_usd": str(reply.cost_usd),
                "seconds": round(reply.seconds, 3),
                "thinking": reply.thinking,
                "format_honoured": reply.format_honoured,
            },
        )

    def failed(self, asked: Asked, error: FactoryError) -> None:
        """Note a failure. Blocks for a moment."""
        told: dict[str, Any] = {
            "error": type(error).__name__,
            "what": error.what,
            "untouched": error.untouched,
            "todo": error.todo,
        }
        if isinstance(error, ModelFailure):
            told |= {
                "raw": error.raw,
                "input_tokens": error.input_tokens,
                "output_tokens": error.output_tokens,
            }
        self._call(asked, told)

    def _call(self, asked: Asked, outcome: Mapping[str, Any]) -> None:
        call = asked.call
        if call.run_id != self._run:
            return
        sent = [(digest_of(text), text) for text in asked.texts(self._home)]
        with self._turn:
            for facts in list(self._facts.values()):
                self._line(facts)
            for digest, text in sent:
                self._line({"text": digest, "content": text})
            self._line(
                {
                    "call": call.key,
                    "candidate": asked.candidate,
                    "alias": asked.alias,
                    "team": call.team,
                    "kind": call.kind,
                    "sent": [digest for digest, _ in sent],
                    **outcome,
                },
                again=True,
            )

    def _line(self, entry: Mapping[str, Any], *, again: bool = False) -> None:
        masked = redact(cast(JsonObject, dict(entry)))
        line = json.dumps(masked, ensure_ascii=False, separators=(",", ":"))
        if not again:
            if line in self._written:
                return
            self._written.add(line)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _settled_message(message: AIMessage, run_id: str) -> JsonObject:
    # Only the run's id: the rest is what the model said, byte for byte.
    return cast(JsonObject, json.loads(canonical(cast(Any, plain(message))).replace(run_id, RUN)))

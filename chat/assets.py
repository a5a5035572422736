"""The page's own scripts and sheets: compressed once, not for each visitor, and kept by the browser.

Their names hold a hash of their content, so a browser never has to ask for one again.
"""

from __future__ import annotations

import asyncio
import gzip
import mimetypes
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlette.responses import JSONResponse, Response

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,120}")
_WORTH: Final = 1_000
"""Bytes from which on it is compressed."""
_KEPT: Final = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}


@dataclass
class Assets:
    """Answers `/assets/NAME`."""

    folder: Path
    _packed: dict[str, tuple[bytes, str]] = field(default_factory=dict[str, tuple[bytes, str]])

    async def answer(self, name: str, accepted: str) -> Response:
        """The file, packed where the browser takes that."""
        path = self.folder / name
        if not _NAME.fullmatch(name) or name.endswith(".map") or not path.is_file():
            return JSONResponse({"detail": "There is nothing at this address"}, status_code=404)
        media = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if "gzip" not in accepted or path.stat().st_size < _WORTH:
            return Response(await asyncio.to_thread(path.read_bytes), media_type=media, headers=_KEPT)
        if name not in self._packed:
            self._packed[name] = (await asyncio.to_thread(_pack, path), media)
        body, media = self._packed[name]
        return Response(body, media_type=media, headers={**_KEPT, "Content-Encoding": "gzip"})


def _pack(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), compresslevel=6)

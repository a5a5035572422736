"""Makes pictures of a page small: at most 256 colours, which a page has few more than, well compressed.

Reads what Chromium writes: 8 bits a channel, RGB or RGBA, not interlaced.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_MOST: Final = 256

Colour = tuple[int, int, int]


def smaller(png: bytes) -> bytes:
    """The same picture with a palette."""
    width, height, rows = _rows(png)
    counts: Counter[Colour] = Counter()
    for row in rows:
        counts.update(row)
    palette = [colour for colour, _ in counts.most_common(_MOST)]
    index = {colour: place for place, colour in enumerate(palette)}
    for colour in counts.keys() - index.keys():
        index[colour] = _nearest(colour, palette)
    # No filter: neighbours in a palette have nothing in common but where they are the same.
    body = b"".join(b"\0" + bytes(index[colour] for colour in row) for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    colours = b"".join(map(bytes, palette))
    parts = ((b"IHDR", head), (b"PLTE", colours), (b"IDAT", zlib.compress(body, 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(*part) for part in parts)


def _nearest(wanted: Colour, palette: list[Colour]) -> int:
    def distance(place: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(wanted, palette[place], strict=True))

    return min(range(len(palette)), key=distance)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _rows(png: bytes) -> tuple[int, int, list[list[Colour]]]:
    """Width, height and the rows of colours."""
    assert png.startswith(_SIGNATURE)
    place, data, head = len(_SIGNATURE), b"", b""
    while place < len(png):
        (size,) = struct.unpack(">I", png[place : place + 4])
        kind, content = png[place + 4 : place + 8], png[place + 8 : place + 8 + size]
        head = content if kind == b"IHDR" else head
        data += content if kind == b"IDAT" else b""
        place += 12 + size
    width, height, depth, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", head)
    assert (depth, interlaced) == (8, 0)
    channels = {2: 3, 6: 4}[colour_type]
    raw, stride = zlib.decompress(data), width * channels
    rows: list[list[Colour]] = []
    above = bytearray(stride)
    for number in range(height):
        start = number * (stride + 1)
        above = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), above, channels)
        reds, greens, blues = above[0::channels], above[1::channels], above[2::channels]
        rows.append(list(zip(reds, greens, blues, strict=True)))
    return width, height, rows


def _unfiltered(kind: int, line: bytearray, above: bytearray, channels: int) -> bytearray:
    """A line as it was before the filter that PNG names by number (w3.org/TR/png, section 9)."""
    for place in range(len(line)):
        left = line[place - channels] if place >= channels else 0
        up = above[place]
        corner = above[place - channels] if place >= channels else 0
        guess = (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]
        line[place] = (line[place] + guess) & 0xFF
    return line


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    distances = abs(guess - left), abs(guess - up), abs(guess - corner)
    return (left, up, corner)[distances.index(min(distances))]

"""What a benchmark reads of a stream does not depend on where the network cuts it."""

import pytest

from benchmarks.streams import Dechunked, Frames

FRAMES = [f'id: {number}\ndata: {{"position":{number}}}\n\n'.encode() for number in range(1, 8)]
BODY = b"retry: 2000\n\n" + b": alive\n\n".join(FRAMES)


def _chunked(body: bytes, size: int) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%X;said=no\r\n%s\r\n" % (len(part), part) for part in parts)


@pytest.mark.parametrize("chunk", [1, 7, 16, 1_000])
@pytest.mark.parametrize("piece", [1, 2, 3, 11, 1_000])
def test_every_frame_is_counted_once_wherever_it_is_cut(chunk: int, piece: int) -> None:
    sent, chunks, frames = _chunked(BODY, chunk), Dechunked(), Frames()
    got = [frames.fed(chunks.fed(sent[at : at + piece])) for at in range(0, len(sent), piece)]
    assert b"".join(got) == BODY
    assert sum(each.count(b'\ndata: {"position":') for each in got) == len(FRAMES)


def test_a_frame_that_is_not_whole_is_kept_back() -> None:
    frames = Frames()
    assert frames.fed(b"id: 1\ndata: {}\n") == b""
    assert frames.fed(b"\nid: 2\n") == b"id: 1\ndata: {}\n\n"

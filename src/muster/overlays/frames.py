"""How the controller and its render workers talk: JSON documents, each after its length in 4 bytes, big-endian.

A request is one JSON object (see sandbox.py). Answers come as frames: `{"at": N}` before entry N is worked on, so that
a worker that has to be killed has named the guilty one; at the end `{"laid": [...]}` or `{"fault": {...}}`.
"""

import json
import struct
from typing import IO

LARGEST = 64 << 20
_LENGTH = struct.Struct(">I")


class FrameError(Exception):
    """The other side is gone, or sent something that is not a frame."""


def write_frame(stream: IO[bytes], document: object) -> None:
    """Send one document. Raises FrameError when the other side is gone."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    rest = memoryview(_LENGTH.pack(len(data)) + data)
    try:
        while rest:
            rest = rest[stream.write(rest) :]
        stream.flush()
    except OSError as error:
        raise FrameError(f"cannot send: {error.strerror}") from error


def read_frame(stream: IO[bytes]) -> object:
    """The next document. Raises FrameError at the end of the stream or when it is too large or not JSON."""
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > LARGEST:
        raise FrameError(f"a frame of {length} bytes")
    try:
        document: object = json.loads(_exactly(stream, length))
    except ValueError as error:
        raise FrameError("not JSON") from error
    return document


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise FrameError("end of stream")
    return data

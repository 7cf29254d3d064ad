"""Asks an NFSv4.1 server as a node would, without a mount: RFC 8881 over ONC RPC (RFC 5531) and XDR (RFC 4506).

Only what it takes to find a path and read a file of a read-only export; the doctor and the tests look with it.
"""

import os
import socket
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from muster.model.errors import MusterError

_PROGRAM, _VERSION, _COMPOUND = 100003, 4, 1
_CALL, _RPC_VERSION, _AUTH_NONE, _AUTH_SYS = 0, 2, 0, 1
_LAST_FRAGMENT = 0x80000000
_LARGEST_ANSWER = 4 << 20

_GETFH, _LOOKUP, _PUTFH, _PUTROOTFH, _READ, _SEQUENCE = 10, 15, 22, 24, 25, 53
_EXCHANGE_ID, _CREATE_SESSION, _DESTROY_SESSION, _DESTROY_CLIENTID = 42, 43, 44, 57
_ANONYMOUS_STATE = bytes(16)
"""The special stateid with which one reads without having opened (RFC 8881, section 8.2.3)."""

STATUS = {
    1: "NFS4ERR_PERM",
    2: "NFS4ERR_NOENT",
    5: "NFS4ERR_IO",
    13: "NFS4ERR_ACCESS",
    30: "NFS4ERR_ROFS",
    70: "NFS4ERR_STALE",
    10001: "NFS4ERR_BADHANDLE",
    10008: "NFS4ERR_DELAY",
    10013: "NFS4ERR_GRACE",
    10016: "NFS4ERR_WRONGSEC",
    10021: "NFS4ERR_MINOR_VERS_MISMATCH",
    10052: "NFS4ERR_BADSESSION",
}
"""Answers that one meets (RFC 8881, section 15.1)."""


class NfsError(MusterError):
    """The server's answer was not success; `status` is its number."""

    def __init__(self, status: int, asked: str) -> None:
        super().__init__(f"{asked}: {STATUS.get(status, f'NFS status {status}')}")
        self.status = status


class NfsSession:
    """One session with a server. OSError when it cannot be reached, NfsError when it refuses.

    `source`: the address of this machine to ask from, for what servers allow depends on it. Times in seconds.
    """

    def __init__(self, address: str, port: int, *, source: str = "", timeout: float = 5.0, uid: int = 0) -> None:
        self._where = f"{address}:{port}"
        self._socket = _connected((address, port), source, timeout)
        self._xid = int.from_bytes(os.urandom(4))
        self._credentials = struct.pack(">IIIIII", 0, 4, int.from_bytes(b"doct"), uid, uid, 0)
        self._sequence = 0
        try:
            self._open()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if error is None:
                self._compound("DESTROY_SESSION", [(_DESTROY_SESSION, self._session)])
                self._compound("DESTROY_CLIENTID", [(_DESTROY_CLIENTID, self._client)])
        finally:
            self._socket.close()

    def find(self, path: str) -> bytes:
        """The file handle of what lies at `path`, walked from the server's root name by name."""
        names = [part for part in path.split("/") if part]
        walk = [(_PUTROOTFH, b""), *((_LOOKUP, _opaque(name.encode())) for name in names), (_GETFH, b"")]
        answer = self._in_session(path, walk)
        answer.skip(4 * 2 * (len(names) + 1))  # operation and status of PUTROOTFH and each LOOKUP
        answer.skip(8)
        return answer.opaque()

    def read(self, handle: bytes, offset: int, length: int) -> bytes:
        """Up to `length` bytes of the file with this handle."""
        asked = [(_PUTFH, _opaque(handle)), (_READ, _ANONYMOUS_STATE + struct.pack(">QI", offset, length))]
        answer = self._in_session("READ", asked)
        answer.skip(8 + 8 + 4)  # PUTFH; READ's own status; end of file
        return answer.opaque()

    def _open(self) -> None:
        owner = os.urandom(8) + _opaque(b"muster " + os.urandom(8).hex().encode())
        answer = self._compound("EXCHANGE_ID", [(_EXCHANGE_ID, owner + struct.pack(">III", 0, 0, 0))])
        answer.skip(8)
        self._client = answer.take(8)
        sequence = answer.take(4)
        forward = struct.pack(">IIIIIII", 0, 1 << 20, 1 << 20, 1 << 16, 16, 1, 0)
        backward = struct.pack(">IIIIIII", 0, 4096, 4096, 4096, 2, 1, 0)
        wanted = self._client + sequence + struct.pack(">I", 0) + forward + backward
        callback = struct.pack(">III", 0x40000000, 1, _AUTH_NONE)
        answer = self._compound("CREATE_SESSION", [(_CREATE_SESSION, wanted + callback)])
        answer.skip(8)
        self._session = answer.take(16)

    def _in_session(self, asked: str, operations: Sequence[tuple[int, bytes]]) -> "_Answer":
        self._sequence += 1
        turn = self._session + struct.pack(">IIII", self._sequence, 0, 0, 0)
        answer = self._compound(asked, [(_SEQUENCE, turn), *operations])
        answer.skip(8 + 16 + 5 * 4)  # SEQUENCE: session, sequence, slot, two highest slots, flags
        return answer

    def _compound(self, asked: str, operations: Sequence[tuple[int, bytes]]) -> "_Answer":
        body = struct.pack(">III", 0, 1, len(operations))
        body += b"".join(struct.pack(">I", number) + arguments for number, arguments in operations)
        answer = _Answer(self._call(body))
        status = answer.number()
        if status:
            raise NfsError(status, f"{asked} on {self._where}")
        answer.opaque()  # the tag
        answer.skip(4)  # how many results
        return answer

    def _call(self, body: bytes) -> bytes:
        self._xid = (self._xid + 1) & 0xFFFFFFFF
        head = struct.pack(">IIIIII", self._xid, _CALL, _RPC_VERSION, _PROGRAM, _VERSION, _COMPOUND)
        head += struct.pack(">I", _AUTH_SYS) + _opaque(self._credentials) + struct.pack(">II", _AUTH_NONE, 0)
        message = head + body
        self._socket.sendall(struct.pack(">I", _LAST_FRAGMENT | len(message)) + message)
        answer = _Answer(self._message())
        if answer.number() != self._xid or answer.number() != 1 or answer.number() != 0:
            raise MusterError(f"{self._where} refuses our RPC calls")
        answer.skip(4)
        answer.opaque()  # the verifier
        if (accepted := answer.number()) != 0:
            raise MusterError(f"{self._where} serves no NFS of version 4 (RPC status {accepted})")
        return answer.rest()

    def _message(self) -> bytes:
        whole = b""
        while True:
            mark = int.from_bytes(self._exactly(4))
            length = mark & ~_LAST_FRAGMENT
            if len(whole) + length > _LARGEST_ANSWER:
                raise MusterError(f"{self._where} answers with {length} bytes: not an NFS server")
            whole += self._exactly(length)
            if mark & _LAST_FRAGMENT:
                return whole

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self._socket.recv(length - len(data))
            if not more:
                raise ConnectionResetError(f"{self._where} closed the connection")
            data += more
        return data


class _Answer:
    """XDR, read from the front. MusterError when it ends too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, length: int) -> bytes:
        if length > len(self._data):
            raise MusterError("an NFS answer is cut short")
        taken, self._data = self._data[:length], self._data[length:]
        return taken

    def skip(self, length: int) -> None:
        self.take(length)

    def number(self) -> int:
        return int.from_bytes(self.take(4))

    def opaque(self) -> bytes:
        length = self.number()
        return self.take(length + -length % 4)[:length]

    def rest(self) -> bytes:
        return self._data


def _opaque(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def _connected(address: tuple[str, int], source: str, timeout: float) -> socket.socket:
    return socket.create_connection(address, timeout=timeout, source_address=(source, 0) if source else None)

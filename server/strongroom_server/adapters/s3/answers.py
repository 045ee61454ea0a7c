# SPDX-License-Identifier: Apache-2.0
"""Answers of S3: whole ones, or none.

Python's HTTP client takes headers that end with the connection for all of them, and
spends more time on headers than everything else that a small request needs. A
listing without its length would be an empty one, and half of a version id a whole
one.
"""

import re
import socket
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Final

from strongroom_server.adapters.s3.errors import unsuitable

#: Of the status line, and of each header.
MAX_LINE_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 100
#: The empty line behind the headers.
_ENDS: Final = (b"\r\n", b"\n")
_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\n]*)?\r?\n")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
#: What is said behind the size of a chunk counts for nothing.
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\n]*)?\r?\n")
#: Others say that the answer will come.
_FIRST_FINAL_STATUS: Final = 200
_WITHOUT_BODY: Final = (204, 304)


class StrangeAnswerError(HTTPException):
    """An answer that no store gives."""


class S3Answer(HTTPResponse):
    """An answer that is refused if its headers break off."""

    def __init__(self, connection: socket.socket, method: str) -> None:
        super().__init__(connection, method=method)
        self._has_body = method != "HEAD"
        self._said: dict[str, str] = {}

    def begin(self) -> None:
        """Read status and headers.

        Raises:
            IncompleteRead: The connection ended before the headers did.
            StrangeAnswerError: It is no answer of HTTP/1.
        """
        minor, self.status = self._read_first_line()
        while self.status < _FIRST_FINAL_STATUS:
            self._read_headers()
            minor, self.status = self._read_first_line()
        self._said = self._read_headers()
        coding = self.header("transfer-encoding").lower()
        if coding not in {"", "chunked"}:
            raise StrangeAnswerError(coding)
        length = self.header("content-length")
        if length and not _LENGTH.fullmatch(length):
            raise StrangeAnswerError(length)
        if length and coding:
            # Two readers could find two ends.
            message = "a length beside chunks"
            raise StrangeAnswerError(message)
        # Where `HTTPResponse` reads a body by them.
        self.chunked, self.chunk_left = bool(coding), None
        self.length = int(length) if length and not coding else None
        if not self._has_body or self.status in _WITHOUT_BODY:
            self.chunked, self.length = False, 0
        is_last = minor == 0 or "close" in self.header("connection").lower()
        self.will_close = is_last or not (self.chunked or self.length is not None)

    def header(self, name: str) -> str:
        """Return what a header says, or ""; its name in lower case."""
        return self._said.get(name, "")

    @property
    def size_bytes(self) -> int:
        """How many bytes the answer has, or would have had to GET.

        Raises:
            PreconditionError: It does not say (STORE_UNSUITABLE).
        """
        length = self.header("content-length")
        if not length:
            raise unsuitable("GetObject", "an answer without its length")
        return int(length)

    def document(self, max_bytes: int) -> bytes:
        """Return the whole body.

        Raises:
            IncompleteRead: It ended early.
            StrangeAnswerError: It is longer.
        """
        expected = self.length
        data = self.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise StrangeAnswerError(str(len(data)))
        if expected is not None and len(data) != expected:
            raise IncompleteRead(data, expected - len(data))
        return data

    def _read_next_chunk_size(self) -> int:
        """Return the size of the next chunk, as `HTTPResponse` asks for it.

        Its own takes whatever `int` does: of a chunk of -1 bytes, it reads all that
        comes, whatever the limit.
        """
        found = _CHUNK.fullmatch(self._read_line())
        if found is None:
            message = "a chunk without a size"
            raise StrangeAnswerError(message)
        return int(found[1], 16)

    def _read_and_discard_trailer(self) -> None:
        """Read what follows the last chunk: no more than headers, and whole."""
        self._read_headers()

    def _read_line(self) -> bytes:
        line = bytes(self.fp.readline(MAX_LINE_BYTES))
        if not line.endswith(b"\n"):
            raise IncompleteRead(line)
        return line

    def _read_first_line(self) -> tuple[int, int]:
        found = _STATUS.fullmatch(self._read_line())
        if found is None:
            message = "no status"
            raise StrangeAnswerError(message)
        return int(found[1]), int(found[2])

    def _read_headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for _ in range(MAX_HEADERS):
            line = self._read_line()
            if line in _ENDS:
                return found
            name, _, value = line.partition(b":")
            if not _NAME.fullmatch(name):
                message = "a header without a name"
                raise StrangeAnswerError(message)
            said, text = name.decode().lower(), value.strip().decode("latin-1")
            found[said] = f"{found[said]}, {text}" if said in found else text
        message = "too many headers"
        raise StrangeAnswerError(message)

# SPDX-License-Identifier: Apache-2.0
"""Search stored bytes for anything of the plaintext: names, and content anywhere.

Names are looked for as they are, in hexadecimal and in base64. Of the content,
a window of 16 bytes from every 128 is looked for at every offset, so that a run
of 144 bytes of plaintext, wherever it lies, is found, unless it is monotonous.
"""

import base64
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_STRIDE_BYTES: Final = 128
_WORD_BYTES: Final = 8
#: Any run of plaintext as long as this is found, if its bytes vary.
RUN_BYTES: Final = _STRIDE_BYTES + 2 * _WORD_BYTES
#: A window with fewer different bytes is as likely padding or indentation.
_DIFFERENT_BYTES: Final = 8
_FILTER_BITS: Final = 26

_Words = NDArray[np.uint64]


class PlaintextSearch:
    """Knows names and contents, and finds them in other bytes.

    Attributes:
        window_count: How many windows of content it looks for.
    """

    def __init__(self, names: Sequence[str], contents: Sequence[bytes]) -> None:
        self._names = [(name, form) for name in names for form in _spellings(name)]
        windows = np.concatenate([_windows(content) for content in contents])
        windows = windows[np.argsort(windows[:, 0])]
        self._first: _Words = np.ascontiguousarray(windows[:, 0])
        self._second: _Words = np.ascontiguousarray(windows[:, 1])
        self._filter = np.zeros(1 << _FILTER_BITS, dtype=np.bool_)
        self._filter[_low_bits(self._first)] = True
        self.window_count = len(windows)

    def find(self, data: bytes) -> Iterator[str]:
        """Yield what of the plaintext is in `data`, in words."""
        for name, form in self._names:
            if form in data:
                yield f"the name {name!r}"
        for offset in range(_WORD_BYTES):
            count = (len(data) - offset) // _WORD_BYTES
            if count > 0:
                words = np.frombuffer(data, dtype="<u8", count=count, offset=offset)
                yield from self._find_windows(data, words, offset)

    def _find_windows(self, data: bytes, words: _Words, offset: int) -> Iterator[str]:
        """Yield the windows that start at a word of `words`."""
        likely = np.flatnonzero(self._filter[_low_bits(words)])
        start = np.searchsorted(self._first, words[likely])
        start = np.minimum(start, len(self._first) - 1)
        for index in likely[self._first[start] == words[likely]]:
            position = offset + int(index) * _WORD_BYTES
            next_word = data[position + _WORD_BYTES : position + 2 * _WORD_BYTES]
            if self._is_window(words[index], next_word):
                yield f"content at byte {position}"

    def _is_window(self, word: np.uint64, next_word: bytes) -> bool:
        if len(next_word) < _WORD_BYTES:
            return False
        start = np.searchsorted(self._first, word, side="left")
        end = np.searchsorted(self._first, word, side="right")
        wanted = np.frombuffer(next_word, dtype="<u8")[0]
        return bool(np.any(self._second[start:end] == wanted))


def _spellings(name: str) -> set[bytes]:
    """Return `name` in bytes, in hexadecimal and in base64 at any alignment."""
    plain = name.encode()
    spellings = {plain, plain.hex().encode(), plain.hex().upper().encode()}
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + plain)
        # Six bits a character; those at both ends mix with the neighbours' bits. All
        # others count: four of them alone occur in random bytes by chance.
        first, end = -(-8 * shift // 6), 8 * (shift + len(plain)) // 6
        spellings.add(encoded[first:end])
    return spellings


def _windows(content: bytes) -> _Words:
    """Return two words from each stride of `content` that has some variety."""
    strides = len(content) // _STRIDE_BYTES
    words = np.frombuffer(content, dtype="<u8", count=strides * _STRIDE_BYTES // 8)
    windows: _Words = words.reshape(strides, _STRIDE_BYTES // _WORD_BYTES)[:, :2]
    letters = np.sort(np.ascontiguousarray(windows).view(np.uint8), axis=1)
    different = 1 + np.count_nonzero(np.diff(letters, axis=1), axis=1)
    varied: _Words = windows[different >= _DIFFERENT_BYTES]
    return varied


def _low_bits(words: _Words) -> NDArray[np.intp]:
    return (words & np.uint64((1 << _FILTER_BITS) - 1)).astype(np.intp)

# SPDX-License-Identifier: Apache-2.0
"""What an upload may share with versions before it, and which packs it needs."""

from collections import deque
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor, Future
from typing import Final

from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.scope import Scope
from strongroom_server.core.suites import BY_WRITER
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.sweeps import SweepView

#: Packs about which an answer is remembered.
_MAX_ANSWERS: Final = 100_000
#: Packs that are asked for before their turn, at the same time.
_MAX_ASKED: Final = 8


class Sharing:
    """Decides what an upload may share, and keeps what it uses. One thread's."""

    def __init__(
        self,
        chunks: ChunkReader,
        scope: Scope,
        *,
        view: SweepView,
        damaged: AbstractSet[str],
        executor: Executor,
        writer: bytes = b"",
    ) -> None:
        """Begin with nothing used.

        Args:
            chunks: Reads what is stored.
            scope: The key domain.
            view: What sweeps have condemned.
            damaged: The packs that are known to be damaged.
            executor: Runs what is asked ahead.
            writer: The tag of who writes by grant; empty for uploads, of which the
                server has seen the bytes.
        """
        self._writer = writer
        self._chunks = chunks
        self._executor = executor
        self._scope = scope
        self._view = view
        self._damaged = damaged
        self._answers: dict[str, bool] = {}
        self._expected: deque[ChunkRef] = deque()
        self._asked: dict[str, Future[bool]] = {}
        self._packs: set[str] = set()
        self._writers: set[bytes] = set()
        self._manifest_key = ""

    @property
    def packs_used(self) -> AbstractSet[str]:
        """Every pack that the version will point at."""
        return self._packs

    @property
    def writers(self) -> frozenset[bytes]:
        """The tags of those whose word the version takes for what it holds."""
        return frozenset(self._writers)

    def believes(self, refs: Iterable[ChunkRef]) -> bool:
        """Return whether a file may be taken for what its digest says.

        What a writer alone has seen may be anything, and so may the name of its pack:
        only that writer goes by it, or makes deltas to it.
        """
        return all(
            not ref.suite & BY_WRITER or ref.writer == self._writer for ref in refs
        )

    def may_share(self, ref: ChunkRef) -> bool:
        """Return whether a version may point at a stored chunk.

        Its pack, and its base's, must still be there and be neither condemned nor
        known to be damaged; asked once a pack. While the bytes are at hand, a pack
        that is gone costs only storing them again; a version must never point at
        it.
        """
        base = ref.base
        return self._answer(ref) and (base is None or self._answer(base))

    def expect(self, refs: Iterable[ChunkRef]) -> None:
        """Ask before their turn for packs that will probably be shared.

        What was expected before and is not asked for yet is expected no more.
        """
        self._expected = deque(refs)
        self._ask_ahead()

    def stop(self) -> None:
        """Expect nothing any more."""
        self._expected.clear()
        for future in self._asked.values():
            future.cancel()

    def may_be_base(self, ref: ChunkRef) -> bool:
        """Return whether a delta may be made to a chunk, if it can be read."""
        return ref.pack not in self._damaged and not self._view.is_condemned(ref.pack)

    def use(self, refs: Iterable[ChunkRef]) -> None:
        """Note that the version will point at these chunks."""
        for ref in refs:
            self._packs.update(ref.packs)
            if ref.suite & BY_WRITER:
                self._writers.add(ref.writer)

    def use_manifest(self, key: str) -> None:
        """Note the key of the version's manifest."""
        self._manifest_key = key

    def uses(self, view: SweepView) -> bool:
        """Return whether the version needs anything that a view shows condemned."""
        return any(map(view.is_condemned, self._packs)) or (
            bool(self._manifest_key) and view.is_condemned_key(self._manifest_key)
        )

    def _answer(self, ref: ChunkRef) -> bool:
        answer = self._answers.get(ref.pack)
        if answer is None:
            answer = self.may_be_base(ref) and self._is_there(ref)
            if len(self._answers) < _MAX_ANSWERS:
                self._answers[ref.pack] = answer
        return answer

    def _is_there(self, ref: ChunkRef) -> bool:
        asked = self._asked.pop(ref.pack, None)
        self._ask_ahead()
        if asked is not None:
            return asked.result()
        return self._chunks.is_there(self._scope, ref)

    def _ask_ahead(self) -> None:
        if not self._expected:
            return
        # What was expected in vain must not take the place of what is needed.
        for pack, future in list(self._asked.items()):
            if future.done():
                del self._asked[pack]
                if future.exception() is None:
                    self._answers.setdefault(pack, future.result())
        while self._expected and len(self._asked) < _MAX_ASKED:
            ref = self._expected.popleft()
            known = ref.pack in self._answers or ref.pack in self._asked
            if not known and self.may_be_base(ref):
                self._asked[ref.pack] = self._executor.submit(
                    self._chunks.is_there, self._scope, ref
                )

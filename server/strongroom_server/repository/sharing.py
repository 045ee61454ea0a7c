# SPDX-License-Identifier: Apache-2.0
"""What an upload may share with versions before it, and which packs it needs."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.scope import Scope
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.sweeps import SweepView

#: Packs about which an answer is remembered.
_MAX_ANSWERS: Final = 100_000


class Sharing:
    """Decides what an upload may share, and keeps what it uses. One thread's."""

    def __init__(
        self,
        chunks: ChunkReader,
        scope: Scope,
        *,
        view: SweepView,
        damaged: AbstractSet[str],
    ) -> None:
        self._chunks = chunks
        self._scope = scope
        self._view = view
        self._damaged = damaged
        self._answers: dict[str, bool] = {}
        self._packs: set[str] = set()
        self._manifest_key = ""

    @property
    def packs_used(self) -> AbstractSet[str]:
        """Every pack that the version will point at."""
        return self._packs

    def may_share(self, ref: ChunkRef) -> bool:
        """Return whether a version may point at a stored chunk.

        Its pack, and its base's, must still be there and be neither condemned nor
        known to be damaged; asked once a pack. While the bytes are at hand, a pack
        that is gone costs only storing them again; a version must never point at
        it.
        """
        base = ref.base
        return self._answer(ref) and (base is None or self._answer(base))

    def may_be_base(self, ref: ChunkRef) -> bool:
        """Return whether a delta may be made to a chunk, if it can be read."""
        return ref.pack not in self._damaged and not self._view.is_condemned(ref.pack)

    def use(self, refs: Iterable[ChunkRef]) -> None:
        """Note that the version will point at these chunks."""
        for ref in refs:
            self._packs.update(ref.packs)

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
            answer = self.may_be_base(ref) and self._chunks.is_there(self._scope, ref)
            if len(self._answers) < _MAX_ANSWERS:
                self._answers[ref.pack] = answer
        return answer

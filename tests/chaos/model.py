# SPDX-License-Identifier: Apache-2.0
"""What was acknowledged, and what must therefore be there at the end."""

import hashlib
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import strongroom
from strongroom.errors import (
    IntegrityError,
    InternalError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom.format.digest import VersionDigester, path_order
from strongroom.values import VersionState

#: What a version may answer once somebody has tried to delete it.
GONE: Final = frozenset(
    {
        Reason.VERSION_DELETED,
        Reason.VERSION_PURGED,
        Reason.CHUNK_MISSING,
        Reason.MANIFEST_MISSING,
    }
)

Content = Mapping[str, bytes]


def digest_of(content: Content) -> str:
    """Return the version digest of files."""
    digester = VersionDigester()
    for path in sorted(content, key=path_order):
        data = content[path]
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        digester.add(path, len(data), digest)
    return digester.digest()


@dataclass
class _Ref:
    """Moves of a ref that one worker owns: where it may point at the end.

    A move that was not acknowledged may be made at any later time, by a server that
    was slow; no other one may undo the last that was acknowledged.
    """

    acknowledged: int = 0
    possible: set[int] = field(default_factory=set)


class Model:
    """Safe to use from many threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._contents: dict[str, dict[str, str]] = {}
        self._versions: dict[tuple[str, int], str] = {}
        self.deletable: set[tuple[str, int]] = set()
        self._refs: dict[tuple[str, str], _Ref] = {}
        self.problems: list[str] = []
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def attempts(self, content: Content) -> str:
        """Note that this content may become a version; return its digest."""
        digest = digest_of(content)
        files = {
            path: hashlib.sha256(data).hexdigest() for path, data in content.items()
        }
        with self.lock:
            self._contents[digest] = files
        return digest

    def committed(self, artifact: str, number: int, digest: str, expected: str) -> None:
        """Note an acknowledged push."""
        with self.lock:
            before = self._versions.setdefault((artifact, number), digest)
        if before != digest or digest != expected:
            self.problem(f"{artifact}@{number} was acknowledged as {digest}, "
                         f"pushed as {expected}, known as {before}")  # fmt: skip

    def some_version(self, index: int) -> tuple[str, int] | None:
        """Return one of the acknowledged versions."""
        with self.lock:
            known = list(self._versions)
        return known[index % len(known)] if known else None

    def expected(self, version: strongroom.Version) -> dict[str, str] | None:
        """Return the SHA-256 of each file of a version, by its digest."""
        with self.lock:
            return self._contents.get(version.digest)

    def tries_delete(self, artifact: str, number: int) -> None:
        """Note that a version may be gone from now on."""
        with self.lock:
            self.deletable.add((artifact, number))

    def moves(self, artifact: str, ref: str, number: int) -> None:
        """Note a move that was not acknowledged; only one worker moves the ref."""
        with self.lock:
            self._refs.setdefault((artifact, ref), _Ref()).possible.add(number)

    def moved(self, artifact: str, ref: str, number: int) -> None:
        """Note an acknowledged move."""
        with self.lock:
            self._refs.setdefault((artifact, ref), _Ref()).acknowledged = number

    def refusal(
        self, what: str, error: StrongroomError, subject: object = None
    ) -> None:
        """Judge an error: most are what chaos brings, some nobody may see."""
        with self.lock:
            may_be_gone = subject in self.deletable
            self.refused[f"{what}: {error.reason.value}"] += 1
        if error.reason in GONE and may_be_gone:
            return
        damage = isinstance(error, IntegrityError | InternalError)
        nonsense = isinstance(error, InvalidArgumentError)
        gone = isinstance(error, PreconditionError) and error.reason in GONE
        if damage or nonsense or gone:
            self.problem(f"{what} {subject}: {error.reason.value}: {error}")

    def problem(self, text: str) -> None:
        """Note what must never be."""
        with self.lock:
            self.problems.append(text[:500])

    def count(self, what: str) -> None:
        """Note an operation that was done."""
        with self.lock:
            self.done[what] += 1

    def check_files(
        self, version: strongroom.Version, found: Mapping[str, str]
    ) -> None:
        """Compare what was read of a version, by SHA-256, with what was pushed."""
        expected = self.expected(version)
        if expected is None:
            self.problem(f"{version.name} holds what nobody pushed: {version.digest}")
        elif any(expected.get(path) != digest for path, digest in found.items()):
            self.problem(f"{version.name} was read with wrong bytes")

    def check_end(self, client: strongroom.Client) -> None:
        """Compare everything with what was acknowledged, once all is calm."""
        with self.lock:
            versions, refs = dict(self._versions), dict(self._refs)
        states: dict[tuple[str, int], VersionState] = {}
        for artifact in sorted({name for name, _ in versions}):
            listed = list(client.list_versions(artifact))
            numbers = sorted(version.number for version in listed)
            if numbers != list(range(1, len(numbers) + 1)):
                self.problem(f"{artifact} has the versions {numbers}")
            for version in listed:
                states[artifact, version.number] = version.state
                if self.expected(version) is None:
                    self.problem(f"{version.name} holds what nobody pushed")
                known = versions.get((artifact, version.number))
                if known not in {None, version.digest}:
                    self.problem(f"{version.name} is {version.digest}, not {known}")
        for key in versions:
            self._check_version(client, key, states.get(key))
        for (artifact, ref), moves in refs.items():
            self._check_ref(client, artifact, ref, moves)

    def _check_version(
        self,
        client: strongroom.Client,
        key: tuple[str, int],
        state: VersionState | None,
    ) -> None:
        artifact, number = key
        if state is None:
            self.problem(f"{artifact}@{number} was acknowledged and is lost")
        elif state is not VersionState.LIVE:
            if key not in self.deletable:
                self.problem(f"{artifact}@{number} is {state.value} by nobody")
        else:
            version = client.show(f"{artifact}@{number}")
            found = {
                file.path: hashlib.sha256(
                    client.read_bytes(f"{version.name}/{file.path}")
                ).hexdigest()
                for file in client.list_files(version.name)
            }
            self.check_files(version, found)
            expected = self.expected(version)
            if expected is not None and set(found) != set(expected):
                self.problem(f"{version.name} has other files than were pushed")

    def _check_ref(
        self, client: strongroom.Client, artifact: str, ref: str, moves: _Ref
    ) -> None:
        found = {item.name: item.version for item in client.artifact(artifact).refs}
        points_at = found.get(ref, 0)
        allowed = moves.possible | {moves.acknowledged}
        if points_at not in allowed:
            self.problem(
                f"ref {ref} of {artifact} points at {points_at}, not in {allowed}"
            )

# SPDX-License-Identifier: Apache-2.0
"""What was acknowledged, and what must therefore be there at the end."""

import hashlib
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
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

#: What reading a version that is not live answers.
_REFUSALS: Final = {
    VersionState.DELETED: Reason.VERSION_DELETED,
    VersionState.PURGED: Reason.VERSION_PURGED,
}

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
    unknown: list[int] = field(default_factory=list)


class Model:
    """Safe to use from many threads.

    Args:
        journal: A file that gets a line of JSON for all that happens.
    """

    def __init__(self, journal: Path) -> None:
        self._lock = threading.Lock()
        self._journal = journal.open("a")
        self._started = time.monotonic()
        self._contents: dict[str, dict[str, str]] = {}
        self._versions: dict[tuple[str, int], str] = {}
        self._deletable: set[tuple[str, int]] = set()
        self._keep_last: dict[str, int] = {}
        self._deleted: set[tuple[str, int]] = set()
        self._undeletable: set[tuple[str, int]] = set()
        self._policies: set[str] = set()
        self._refs: dict[tuple[str, str], _Ref] = {}
        self.problems: list[str] = []
        self.done: Counter[str] = Counter()
        #: What operations did, not counted as operations.
        self.things: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def note(self, what: str, **details: object) -> None:
        """Write a line for who looks for the cause of a problem."""
        at_s = round(time.monotonic() - self._started, 3)
        line = json.dumps({"at_s": at_s, "what": what, **details}, default=str)
        with self._lock:
            if not self._journal.closed:
                self._journal.write(line + "\n")
                self._journal.flush()

    def close(self) -> None:
        """End the journal; nothing may happen any more."""
        with self._lock:
            self._journal.close()

    def attempts(self, content: Content) -> str:
        """Note that this content may become a version; return its digest."""
        digest = digest_of(content)
        files = {
            path: hashlib.sha256(data).hexdigest() for path, data in content.items()
        }
        with self._lock:
            self._contents[digest] = files
        return digest

    def committed(self, artifact: str, number: int, digest: str, expected: str) -> None:
        """Note an acknowledged push."""
        with self._lock:
            before = self._versions.setdefault((artifact, number), digest)
        self.note("committed", artifact=artifact, number=number, digest=digest)
        if before != digest or digest != expected:
            self.problem(f"{artifact}@{number} was acknowledged as {digest}, "
                         f"pushed as {expected}, known as {before}")  # fmt: skip

    def some_version(self, index: int) -> tuple[str, int] | None:
        """Return one of the acknowledged versions."""
        with self._lock:
            known = list(self._versions)
        return known[index % len(known)] if known else None

    def tries_undelete(self, artifact: str, number: int) -> None:
        """Note that a version may be live again from now on."""
        with self._lock:
            self._undeletable.add((artifact, number))

    def deleted(self, artifact: str, number: int) -> None:
        """Note an acknowledged deletion."""
        self.note("deleted", artifact=artifact, number=number)
        with self._lock:
            self._deleted.add((artifact, number))

    def may_be_gone(self, version: object) -> bool:
        """Return whether anybody, or a policy, may have deleted a version."""
        with self._lock:
            return self._may_be_gone(version)

    def keeps_last(self, artifact: str, count: int) -> None:
        """Note that a policy lets go of an artifact's versions but the last ones.

        Also of those that were committed and not acknowledged.
        """
        with self._lock:
            self._keep_last[artifact] = count

    def begins_policy(self, artifact: str, *, again: bool = False) -> bool:
        """Return whether nobody has set an artifact's policy; from now on one has."""
        with self._lock:
            begins = artifact not in self._policies
            self._policies.add(artifact)
            if again:
                self._policies.discard(artifact)
        return begins

    def tries_delete(self, artifact: str, number: int) -> None:
        """Note that a version may be gone from now on."""
        with self._lock:
            self._deletable.add((artifact, number))

    def moves(self, artifact: str, ref: str, number: int) -> None:
        """Note that a move begins; only one worker moves the ref."""
        with self._lock:
            self._refs.setdefault((artifact, ref), _Ref()).unknown.append(number)

    def moved(self, artifact: str, ref: str, number: int) -> None:
        """Note an acknowledged move."""
        self.note("moved", artifact=artifact, ref=ref, number=number)
        with self._lock:
            moves = self._refs.setdefault((artifact, ref), _Ref())
            moves.acknowledged = number
            moves.unknown.remove(number)

    def refusal(
        self, what: str, error: StrongroomError, subject: object = None
    ) -> None:
        """Judge an error: most are what chaos brings, some nobody may see."""
        with self._lock:
            may_be_gone = self._may_be_gone(subject)
            self.refused[f"{what}: {error.reason.value}"] += 1
        self.note("refused", call=what, subject=subject, reason=error.reason.value,
                  error=str(error))  # fmt: skip
        if error.reason in GONE and may_be_gone:
            return
        damage = isinstance(error, IntegrityError | InternalError)
        nonsense = isinstance(error, InvalidArgumentError)
        gone = isinstance(error, PreconditionError) and error.reason in GONE
        if damage or nonsense or gone:
            self.problem(f"{what} {subject}: {error.reason.value}: {error}")

    def problem(self, text: str) -> None:
        """Note what must never be."""
        self.note("problem", text=text)
        with self._lock:
            self.problems.append(text[:500])

    def count(self, what: str) -> None:
        """Note an operation that was done."""
        with self._lock:
            self.done[what] += 1

    def count_things(self, what: str, count: int) -> None:
        """Note how many things operations did."""
        with self._lock:
            self.things[what] += count

    def check_files(
        self,
        version: strongroom.Version,
        found: Mapping[str, str],
        *,
        whole: bool = False,
    ) -> None:
        """Compare what was read of a version, by SHA-256, with what was pushed."""
        with self._lock:
            expected = self._contents.get(version.digest)
        if expected is None:
            self.problem(f"{version.name} holds what nobody pushed: {version.digest}")
        elif any(expected.get(path) != digest for path, digest in found.items()):
            self.problem(f"{version.name} was read with wrong bytes")
        elif whole and set(found) != set(expected):
            self.problem(f"{version.name} has other files than were pushed")

    def check_end(
        self, client: strongroom.Client, folder: Path, *, share: int, of: int
    ) -> None:
        """Compare all with what was acknowledged, once all is calm.

        Every listing and ref is looked at; of the versions, which are read whole,
        a share.
        """
        with self._lock:
            versions, refs = dict(self._versions), dict(self._refs)
        listed: dict[tuple[str, int], strongroom.Version] = {}
        for artifact in sorted({name for name, _ in versions}):
            found = list(client.list_versions(artifact))
            listed |= {(artifact, version.number): version for version in found}
            numbers = sorted(version.number for version in found)
            if numbers != list(range(1, len(numbers) + 1)):
                self.problem(f"versions of {artifact} were lost: there are {numbers}")
        newest = dict(sorted(listed))  # by artifact: the last number wins
        for key, version in sorted(listed.items()):
            self._check_listed(key, version, newest[key[0]])
        for key in versions.keys() - listed.keys():
            self.problem(f"{key} was acknowledged and is lost")
        for (artifact, ref), moves in refs.items():
            self._check_ref(client, artifact, ref, moves)
        for number, (key, version) in enumerate(sorted(listed.items())):
            if number % of == share:
                self._check_content(client, folder, key, version)

    def _may_be_gone(self, version: object) -> bool:
        artifact = version[0] if isinstance(version, tuple) else ""
        return version in self._deletable or artifact in self._keep_last

    def _check_listed(
        self, key: tuple[str, int], version: strongroom.Version, newest: int
    ) -> None:
        with self._lock:
            known = self._versions.get(key)
            kept = self._keep_last.get(key[0], newest)
            may_be_gone = key in self._deletable or key[1] <= newest - kept
            must_be_gone = key in self._deleted - self._undeletable
            is_known_content = version.digest in self._contents
        if known not in {None, version.digest}:
            self.problem(f"{version.name} is {version.digest}, not {known}: lost")
        if not is_known_content:
            self.problem(f"{version.name} holds what nobody pushed")
        if version.state is not VersionState.LIVE and not may_be_gone:
            self.problem(f"{version.name} is lost: {version.state.value} by nobody")
        if version.state is VersionState.LIVE and must_be_gone:
            self.problem(f"{version.name} was deleted, and is there again")

    def _check_content(
        self,
        client: strongroom.Client,
        folder: Path,
        key: tuple[str, int],
        version: strongroom.Version,
    ) -> None:
        target = folder / f"end-{key[0].replace('/', '-')}-{key[1]}"
        expected = _REFUSALS.get(version.state)
        found: Reason | None = None
        try:
            result = client.pull(f"{key[0]}@{key[1]}", target)
            self.check_files(result.version, files_below(target), whole=True)
        except StrongroomError as error:
            found = error.reason
        finally:
            shutil.rmtree(target, ignore_errors=True)
        if found is not expected:
            self.problem(f"{version.name}, {version.state.value}, answers {found}: "
                         "it is lost")  # fmt: skip
        self.count(f"{version.state.value.lower()} versions read at the end")

    def _check_ref(
        self, client: strongroom.Client, artifact: str, ref: str, moves: _Ref
    ) -> None:
        found = {item.name: item.version for item in client.artifact(artifact).refs}
        points_at = found.get(ref, 0)
        allowed = {*moves.unknown, moves.acknowledged}
        if points_at not in allowed:
            self.problem(
                f"ref {ref} of {artifact} is lost: at {points_at}, not in {allowed}"
            )


def files_below(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(folder).as_posix()] = digest
    return found

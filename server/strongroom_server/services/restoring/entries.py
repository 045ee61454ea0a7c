# SPDX-License-Identifier: Apache-2.0
"""Putting back lost entries of a living journal: never behind one of another story.

Numbers of entries are taken for good. Whatever was put behind an entry that it does
not follow from would leave a journal that nobody can read, so what lies there is
compared, byte for byte, before anything is put behind it.
"""

import contextlib

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import journal as journal_format
from strongroom_server.core import layout, stored_objects
from strongroom_server.core.inventory import StoredObject
from strongroom_server.ports import BlobNotFoundError, BlobVersion
from strongroom_server.repository.backup_engine import BackupEngine
from strongroom_server.repository.numbered_blobs import first_version, put_numbered
from strongroom_server.repository.object_copies import copies_of
from strongroom_server.repository.repository import Artifact, Repository
from strongroom_server.services.restoring.tally import Tally


class JournalEntries:
    """The entries of one journal, in the store and in a backup. Used by one thread.

    Args:
        repository: The store.
        engine: The backup.
        artifact: Of which artifact, as the backup has it.
    """

    def __init__(
        self, repository: Repository, engine: BackupEngine, artifact: Artifact
    ) -> None:
        self._repository = repository
        self._engine = engine
        self._artifact = artifact
        journal = artifact.journal
        self._prefix = layout.journal_prefix(journal.project, journal.artifact)
        self._digests = [entry.digest for entry in artifact.history.entries]
        self._compared: set[str] = set()

    def compare(self) -> None:
        """Check that what the store has of the journal is what the backup has.

        No server's memory is asked: what counts is what lies in the bucket.

        Raises:
            PreconditionError: It went on otherwise (STORE_UNSUITABLE).
            UnavailableError: S3 or Vault cannot be reached.
        """
        for item in self._repository.blobs.first_versions(self._prefix):
            number = stored_objects.link_number(item.key)
            if number > len(self._digests):
                return
            # What is gone by now is put back, or not, when its turn comes.
            with contextlib.suppress(BlobNotFoundError):
                if number == len(self._digests):
                    self._check_follows(item)
                elif number >= 0:
                    self._check_same(item, number)
                self._compared.add(item.key)

    def put_back(self, tally: Tally) -> None:
        """Put back what is gone, in order; `compare` was called before.

        Raises:
            PreconditionError: Somebody else went on with the journal in the meantime
                (STORE_UNSUITABLE); what was put is what its entries follow from.
            IntegrityError: An entry in the backup is damaged.
            UnavailableError: S3 or Vault cannot be reached.
        """
        for number, row in enumerate(self._engine.view.rows.after(self._prefix)):
            if row.key not in self._compared and number < len(self._digests):
                self._put(row, number, tally)

    def _put(self, row: StoredObject, number: int, tally: Tally) -> None:
        blobs = self._repository.blobs
        found = first_version(blobs, row.key)
        if found is None:
            data = self._engine.view.get(
                row.key,
                version_id=row.version_id,
                max_bytes=journal_format.MAX_ENTRY_BYTES,
            )
            if put_numbered(blobs, row.key, data):
                tally.copied_count += 1
                tally.copied_bytes += len(data)
                return
            found = first_version(blobs, row.key)
        try:
            if found is not None:
                self._check_same(found, number)
                return
        except BlobNotFoundError:
            pass
        raise self._forked(row.key)

    def _check_same(self, item: BlobVersion, number: int) -> None:
        """Check that a stored entry is the backup's, or nothing that is signed."""
        digest = self._digests[number]
        stored = self._get(item)
        if journal_format.entry_digest(stored) == digest:
            return
        if self._is_signed(item.key, stored):
            raise self._forked(item.key)
        # Rotten: what a repair put beside it is what servers read.
        copies = [
            copy
            for copy in copies_of(
                self._repository.blobs,
                item.key,
                max_bytes=journal_format.MAX_ENTRY_BYTES,
            )
            if self._is_signed(item.key, copy)
        ]
        digests = {journal_format.entry_digest(copy) for copy in copies}
        if digests and digest not in digests:
            raise self._forked(item.key)

    def _check_follows(self, item: BlobVersion) -> None:
        """Check that the entry behind the backup's last one names that."""
        stored = self._get(item)
        if not self._is_signed(item.key, stored):
            return
        if self._link(item.key, stored).prev != self._digests[-1]:
            raise self._forked(item.key)

    def _get(self, item: BlobVersion) -> bytes:
        """Return what is stored; b"" if it is too long to be an entry."""
        try:
            return self._repository.blobs.get(
                item.key,
                version_id=item.version_id,
                max_bytes=journal_format.MAX_ENTRY_BYTES,
            )
        except IntegrityError:
            return b""

    def _is_signed(self, key: str, data: bytes) -> bool:
        try:
            self._link(key, data)
        except IntegrityError:
            return False
        return True

    def _link(self, key: str, data: bytes) -> stored_objects.ChainLink:
        return stored_objects.check_entry(
            data,
            key,
            self._repository.keyring.store,
            self._repository.journals.public_keys(),
        )

    def _forked(self, key: str) -> PreconditionError:
        return PreconditionError(
            f"the journal of {self._artifact.name.short} went on otherwise than backup "
            f"{self._engine.saved.number} has it, first at {key}",
            reason=Reason.STORE_UNSUITABLE,
            hint="Restore it to a folder (`strongroom-server restore --to-folder`), "
            "and push it to an artifact of another name.",
        )

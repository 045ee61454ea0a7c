# SPDX-License-Identifier: Apache-2.0
"""Key derivation: from a domain's master key to the key of each chunk and object.

    DMK  domain master key of one epoch   -> chunk keys, object keys
    DDK  dedup key, the same in all epochs -> chunk ids, names, tags of writers

Every label carries the whole scope, so a key of one store, project, domain or
epoch opens nothing of another.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from strongroom_server.core.scope import ID_BYTES, Scope
from strongroom_server.core.suites import DigestAlgorithm

KEY_BYTES = 32
_PREFIX = b"strongroom.v1/"
_ID_LABELS = {DigestAlgorithm.SHA256: b"c1\0", DigestAlgorithm.BLAKE3: b"c2\0"}
#: Of chunks that are named by what a writer says of them.
_WRITER_LABELS = {DigestAlgorithm.SHA256: b"w1\0", DigestAlgorithm.BLAKE3: b"w2\0"}
#: What the id of such a chunk begins with.
WRITER_TAG_BYTES = 8


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-512 (RFC 5869, section 2.3)."""
    return HKDFExpand(hashes.SHA512(), length, info).derive(key)


@dataclass(frozen=True, slots=True)
class DomainKeys:
    """The keys of one key domain at one epoch; lives in memory only.

    Attributes:
        scope: What the keys belong to.
        master: The domain master key, 32 bytes.
        dedup: The dedup key, 32 bytes, the same in every epoch.
    """

    scope: Scope
    master: bytes = field(repr=False)
    dedup: bytes = field(repr=False)
    # What every chunk needs, derived once: a version may have millions of them. Names
    # and objects are asked for at every call.
    _chunk_ids: bytes = field(init=False, repr=False, compare=False)
    _chunk_keys: bytes = field(init=False, repr=False, compare=False)
    _chunk_salts: bytes = field(init=False, repr=False, compare=False)
    _names: bytes = field(init=False, repr=False, compare=False)
    _objects: dict[str, bytes] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        if len(self.master) != KEY_BYTES or len(self.dedup) != KEY_BYTES:
            message = "domain keys have 32 bytes"
            raise ValueError(message)
        object.__setattr__(self, "_chunk_ids", self._dedup_key(b"id"))
        object.__setattr__(self, "_chunk_keys", self._master_key(b"chunk"))
        object.__setattr__(self, "_chunk_salts", self._master_key(b"pad"))
        object.__setattr__(self, "_names", self._dedup_key(b"name"))

    @property
    def kid(self) -> str:
        """The public id of the master key."""
        return key_id(self.scope, self.master)

    def chunk_id(
        self,
        digest: bytes,
        size_bytes: int,
        algorithm: DigestAlgorithm,
        *,
        writer: bytes = b"",
    ) -> bytes:
        """Return a chunk's keyed id: it depends on digest and length only.

        With the tag of a writer it begins with that, and depends on it as well.
        """
        if not writer:
            message = _ID_LABELS[algorithm] + size_bytes.to_bytes(8, "big") + digest
            return hmac.digest(self._chunk_ids, message, "sha256")
        message = _WRITER_LABELS[algorithm] + writer
        message += size_bytes.to_bytes(8, "big") + digest
        named = hmac.digest(self._chunk_ids, message, "sha256")
        return writer + named[:-WRITER_TAG_BYTES]

    def writer_tag(self, artifact: bytes, principal: str) -> bytes:
        """Return what begins the ids of chunks that a writer names in an artifact."""
        tag = self.name_id("writer", f"{artifact.hex()}\0{principal}")
        return tag[:WRITER_TAG_BYTES]

    def writer_cut_key(self, artifact: bytes, principal: str) -> bytes:
        """Return the key by which a writer cuts files of an artifact by content."""
        context = b"writer\0" + artifact + principal.encode()
        return expand(self.cut_key(), _PREFIX + context, KEY_BYTES)

    def chunk_key(self, chunk_id: bytes) -> bytes:
        """Return the key of one chunk."""
        info = _PREFIX + b"ck\0" + chunk_id
        return expand(self._chunk_keys, info, KEY_BYTES)

    def chunk_salt(self, seed: bytes, chunk_id: bytes, encoded_digest: bytes) -> bytes:
        """Return a chunk's salt, hedged against a bad random source.

        A cloned or failed source cannot make two different plaintexts meet under
        one key and salt.
        """
        message = seed + chunk_id + encoded_digest
        return hmac.digest(self._chunk_salts, message, "sha256")[:24]

    def object_key(self, kind: str) -> bytes:
        """Return the key of all control objects of a kind."""
        key = self._objects.get(kind)
        if key is None:
            key = self._objects[kind] = self._master_key(b"object/" + kind.encode())
        return key

    def cut_key(self) -> bytes:
        """Return the key that decides where files are cut by their content."""
        return self._dedup_key(b"cdc")

    def name_id(self, kind: str, name: str) -> bytes:
        """Return the 18-byte keyed id of a name."""
        message = kind.encode() + b"\0" + name.encode()
        return hmac.digest(self._names, message, "sha256")[:ID_BYTES]

    def _master_key(self, label: bytes) -> bytes:
        return _scoped(self.master, label, self.scope)

    def _dedup_key(self, label: bytes) -> bytes:
        return _scoped(self.dedup, label, self.scope.at_epoch(0))


def key_id(scope: Scope, master: bytes) -> str:
    """Return the public id of a master key: `sr1:` and 26 base32 characters."""
    value = _scoped(master, b"kid", scope)
    digest = hashlib.sha256(_PREFIX + b"kid\0" + value).digest()
    return "sr1:" + base64.b32encode(digest).decode().lower()[:26]


def dedup_wrapping_key(scope: Scope, master: bytes) -> bytes:
    """Return the key that encrypts the dedup key inside a key slot."""
    return _scoped(master, b"ddk", scope)


def slot_commitment(master: bytes, fields: bytes) -> bytes:
    """Return the 64 bytes that commit a key slot's fields to its master key."""
    return hmac.digest(master, b"strongroom.v1/slot\0" + fields, "sha512")


def _scoped(key: bytes, label: bytes, scope: Scope) -> bytes:
    return expand(key, _PREFIX + label + b"\0" + scope.packed, KEY_BYTES)

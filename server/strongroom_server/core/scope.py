# SPDX-License-Identifier: Apache-2.0
"""Ids, and the scope that every key is derived for: store, project, domain, epoch."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

STORE_BYTES: Final = 16
#: A multiple of three, so that base64 prefixes of contexts align and Vault can
#: limit a token to them (`allowed_parameters`).
ID_BYTES: Final = 18
MAX_EPOCH: Final = 2**24 - 1
#: The project of the store's own key domain.
STORE_PROJECT: Final = bytes(ID_BYTES)
#: The KEK of the store's own key domain.
STORE_KEK: Final = "sr.store"

_PROJECT_KEK: Final = re.compile(r"sr\.[a-z2-7]{29}\.[a-z2-7]{29}\Z")
_ID_TEXT: Final = re.compile(r"[a-z2-7]{29}\Z")
#: What every context begins with; nine bytes, a multiple of three as well.
CONTEXT_LABEL: Final = b"SRCTX-v1\0"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a domain key belongs to.

    Attributes:
        store: 16 bytes, the store's id.
        project: 18 bytes, keyed from the project's name.
        domain: 18 random bytes; names the key domain.
        epoch: 0 to 2**24 - 1; grows when the domain gets a new master key.
    """

    store: bytes
    project: bytes
    domain: bytes
    epoch: int

    def __post_init__(self) -> None:
        sizes = (len(self.store), len(self.project), len(self.domain))
        if sizes != (STORE_BYTES, ID_BYTES, ID_BYTES):
            message = f"ids of {sizes} bytes are no scope"
            raise ValueError(message)
        if not 0 <= self.epoch <= MAX_EPOCH:
            message = f"epoch {self.epoch} is out of range"
            raise ValueError(message)

    @property
    def packed(self) -> bytes:
        """Store, project, domain and epoch: 55 bytes."""
        return self.store + self.domain_header

    @property
    def domain_header(self) -> bytes:
        """Project, domain and epoch: 39 bytes, as object headers carry them."""
        return self.project + self.domain + self.epoch.to_bytes(3, "big")

    @property
    def kek_context(self) -> bytes:
        """The 48 bytes to which the KEK binds the wrapped master key."""
        return CONTEXT_LABEL + self.domain_header

    @property
    def kek(self) -> str:
        """The name of the domain's KEK in Vault."""
        if self.project == STORE_PROJECT:
            return STORE_KEK
        return f"sr.{format_id(self.project)}.{format_id(self.domain)}"

    @property
    def epoch_mark(self) -> str:
        """The name of the key in Vault that says that the epoch was begun."""
        return f"{self.kek}.e{self.epoch}"

    def at_epoch(self, epoch: int) -> "Scope":
        """Return the same domain at another epoch."""
        return Scope(self.store, self.project, self.domain, epoch)


def is_project_kek(name: str) -> bool:
    """Return whether a name is that of a project's KEK."""
    return bool(_PROJECT_KEK.match(name))


def store_scope(store: bytes) -> Scope:
    """Return the scope of the store's own key domain, which names projects."""
    domain = hashlib.sha256(b"strongroom.v1/store-domain\0" + store).digest()
    return Scope(store, STORE_PROJECT, domain[:ID_BYTES], 0)


# Each key of an object has ids in it, mostly the same few.
@lru_cache(maxsize=4096)
def format_id(value: bytes) -> str:
    """Return an id as 29 characters of lower-case base32."""
    return base64.b32encode(value).decode().rstrip("=").lower()


def parse_id(text: str) -> bytes:
    """Return the 18 bytes of an id.

    Raises:
        ValueError: It is not 29 characters of canonical lower-case base32.
    """
    if not _ID_TEXT.match(text):
        message = f"{text[:40]!r} is not an id"
        raise ValueError(message)
    try:
        value = base64.b32decode(text.upper() + "===")
    except binascii.Error as error:
        message = f"{text!r} is not an id"
        raise ValueError(message) from error
    if format_id(value) != text:
        message = f"{text!r} is not a canonical id"
        raise ValueError(message)
    return value

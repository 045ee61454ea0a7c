# SPDX-License-Identifier: Apache-2.0
"""Manifests: the root of one version's file table, with its totals.

Format 1 names the pages of the table. Format 2 may name lists of pages instead,
so that a version of many files does not write all of them again; it is written
only where there are lists, or chunks that format 1 has no word for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from strongroom.errors import IntegrityError, InvalidArgumentError, Reason
from strongroom.format.digest import parse_digest
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import PageRef
from strongroom_server.core.index_segment import (
    FORMAT,
    FORMAT_WITH_DELTAS,
    check_format,
    format_of,
    parse_refs,
)
from strongroom_server.core.page_list import format_pages, parse_pages
from strongroom_server.core.scope import format_id

TYPE: Final = "manifest"
MAX_MANIFEST_BYTES: Final = 64 * 1024 * 1024
_FIELDS: Final = frozenset(
    {"artifact", "chunks", "digest", "file_count", "format", "packs", "pages",
     "size_bytes", "type"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Manifest:
    """A version's content: its digest, totals and the pages of its file table.

    Attributes:
        artifact: 18 bytes, the artifact's id.
        digest: The version digest, `sha256:…`.
        file_count: How many files.
        size_bytes: The sum of their sizes.
        pages: In order of path; empty if there are lists.
        lists: The lists of pages, in order of path; empty if there are few pages.
        roots: The pages, or the lists.
        epoch: Of the key that the manifest is stored under; not part of what it says.
    """

    artifact: bytes
    digest: str
    file_count: int
    size_bytes: int
    pages: tuple[PageRef, ...]
    lists: tuple[PageRef, ...] = ()
    epoch: int = field(default=0, compare=False)

    @property
    def roots(self) -> tuple[PageRef, ...]:
        """What the manifest itself names: the pages, or the lists."""
        return self.lists or self.pages


def manifest_location(artifact: bytes) -> str:
    """Return what a manifest is bound to; its key is its own digest."""
    return f"manifests/of/{format_id(artifact)}"


def format_manifest(manifest: Manifest) -> dict[str, Any]:
    """Return the body of a manifest object."""
    body = {
        "type": TYPE,
        "artifact": format_id(manifest.artifact),
        "digest": manifest.digest,
        "file_count": manifest.file_count,
        "size_bytes": manifest.size_bytes,
        **format_pages(manifest.roots),
    }
    if body["format"] == FORMAT and not manifest.lists:
        return body
    return body | {"format": FORMAT_WITH_DELTAS, "level": 1 if manifest.lists else 0}


def parse_manifest(body: dict[str, Any], artifact: bytes) -> Manifest:
    """Return the manifest of a body that must belong to `artifact`.

    Raises:
        IntegrityError: It is malformed or of another artifact (MANIFEST_CORRUPT).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        check_format(body.get("format"), "a manifest", newest=FORMAT_WITH_DELTAS)
        fields = _FIELDS if body["format"] == FORMAT else _FIELDS | {"level"}
        level = body.get("level", 0)
        if set(body) != fields or body["type"] != TYPE or level not in {0, 1}:
            raise manifest_error()
        roots = parse_pages(body["pages"], iter(parse_refs(body)))
        parse_digest(body["digest"])
    except (ValueError, TypeError, InvalidArgumentError) as error:
        raise manifest_error() from error
    totals = (
        sum(page.file_count for page in roots),
        sum(page.size_bytes for page in roots),
    )
    if (
        body["artifact"] != format_id(artifact)
        or type(level) is not int
        or (level and not roots)
        or (not level and body["format"] != format_of(_refs(roots)))
        or totals != (body["file_count"], body["size_bytes"])
    ):
        raise manifest_error()
    return Manifest(
        artifact,
        body["digest"],
        *totals,
        pages=() if level else roots,
        lists=roots if level else (),
    )


def manifest_error() -> IntegrityError:
    """Return the error for a manifest that is damaged."""
    return IntegrityError(
        "a version's manifest is damaged",
        reason=Reason.MANIFEST_CORRUPT,
        hint="Run `strongroom verify --store --repair` with a copy of the store.",
    )


def _refs(roots: Iterable[PageRef]) -> Iterator[ChunkRef]:
    return (ref for root in roots for ref in root.chunks)

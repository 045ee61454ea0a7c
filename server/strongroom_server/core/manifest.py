# SPDX-License-Identifier: Apache-2.0
"""Manifests: the root of one version's file table, with its totals."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import IntegrityError, InvalidArgumentError, Reason
from strongroom.format.digest import parse_digest, path_order
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import PageRef
from strongroom_server.core.index_segment import format_refs, parse_refs
from strongroom_server.core.scope import format_id

FORMAT: Final = 1
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
        pages: In order of path.
    """

    artifact: bytes
    digest: str
    file_count: int
    size_bytes: int
    pages: tuple[PageRef, ...]


def manifest_location(artifact: bytes) -> str:
    """Return what a manifest is bound to; its key is its own digest."""
    return f"manifests/of/{format_id(artifact)}"


def format_manifest(manifest: Manifest) -> dict[str, Any]:
    """Return the body of a manifest object."""
    refs = format_refs(ref for page in manifest.pages for ref in page.chunks)
    pages = [
        [page.first_path, page.last_path, page.file_count, page.size_bytes,
         len(page.chunks)]
        for page in manifest.pages
    ]  # fmt: skip
    return {
        "format": FORMAT,
        "type": TYPE,
        "artifact": format_id(manifest.artifact),
        "digest": manifest.digest,
        "file_count": manifest.file_count,
        "size_bytes": manifest.size_bytes,
        "pages": pages,
        **refs,
    }


def parse_manifest(body: dict[str, Any], artifact: bytes) -> Manifest:
    """Return the manifest of a body that must belong to `artifact`.

    Raises:
        IntegrityError: It is malformed or of another artifact (MANIFEST_CORRUPT).
    """
    try:
        if set(body) != _FIELDS or body["format"] != FORMAT or body["type"] != TYPE:
            raise manifest_error()
        refs = iter(parse_refs(body))
        pages = tuple(_parse_page_ref(item, refs) for item in body["pages"])
        parse_digest(body["digest"])
        manifest = Manifest(
            artifact, body["digest"], body["file_count"], body["size_bytes"], pages
        )
    except (ValueError, TypeError, InvalidArgumentError) as error:
        raise manifest_error() from error
    totals = (
        sum(page.file_count for page in pages),
        sum(page.size_bytes for page in pages),
    )
    if (
        body["artifact"] != format_id(artifact)
        or next(refs, None) is not None
        or totals != (manifest.file_count, manifest.size_bytes)
        or not _in_order(pages)
    ):
        raise manifest_error()
    return manifest


def manifest_error() -> IntegrityError:
    """Return the error for a manifest that is damaged."""
    return IntegrityError(
        "a version's manifest is damaged",
        reason=Reason.MANIFEST_CORRUPT,
        hint="Run `strongroom verify`; restore the manifest from a backup.",
    )


def _in_order(pages: tuple[PageRef, ...]) -> bool:
    paths = [path_order(path) for page in pages for path in _ends(page)]
    return all(left < right for left, right in itertools.pairwise(paths))


def _ends(page: PageRef) -> tuple[str, ...]:
    one = page.first_path == page.last_path
    return (page.first_path,) if one else (page.first_path, page.last_path)


def _parse_page_ref(item: list[Any], refs: Iterator[ChunkRef]) -> PageRef:
    first, last, count, size, chunk_count = item
    numbers = (count, size, chunk_count)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(item)
    if not isinstance(first, str) or not isinstance(last, str):
        raise ValueError(item)  # noqa: TRY004 -- stored bytes, not a caller's bug
    chunks = tuple(itertools.islice(refs, chunk_count))
    if len(chunks) != chunk_count:
        raise ValueError(item)
    return PageRef(first, last, count, size, chunks)

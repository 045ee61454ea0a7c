# SPDX-License-Identifier: Apache-2.0
"""The cache of Hugging Face's libraries: a version as they would have fetched it.

`models--ORG--NAME/` holds `blobs/` by content, `snapshots/COMMIT/` with links into
them, and `refs/REVISION`, each a file that says a commit. Ours is the beginning of the
version's digest.

Source:
    huggingface.co/docs/huggingface_hub, "Understand caching".
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom._files.failures import writing
from strongroom.errors import InvalidArgumentError
from strongroom.format.digest import parse_digest
from strongroom.format.names import ArtifactName, check_id, check_path

#: A commit of theirs has so many hex digits.
_COMMIT_DIGITS: Final = 40
_SEPARATOR: Final = "--"


class HubCache:
    """What the cache holds of one artifact."""

    def __init__(
        self, cache: str | os.PathLike[str], artifact: ArtifactName, *, dataset: bool
    ) -> None:
        """Name the place; nothing is made.

        Args:
            cache: What `HF_HUB_CACHE` says.
            artifact: Its project is the organisation.
            dataset: Whether it is a data set, not a model.

        Raises:
            InvalidArgumentError: The libraries would refuse the name
                (ARGUMENT_INVALID).
        """
        words = (
            "datasets" if dataset else "models",
            artifact.project,
            artifact.artifact,
        )
        if any(_SEPARATOR in word for word in words):
            message = f"Hugging Face's libraries take no name like {artifact.short!r}"
            raise InvalidArgumentError(
                message,
                hint="Pull it without --layout, and name the folder in its place.",
                name=artifact.short,
            )
        self.folder = Path(cache).absolute() / _SEPARATOR.join(words)

    def snapshot(self, digest: str) -> Path:
        """Return where the version of this digest lies; its files, if it is there."""
        return self.folder / "snapshots" / parse_digest(digest)[:_COMMIT_DIGITS]

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """Make a folder of one's own on the same disk; it goes with all it holds."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(
                prefix=".strongroom-", dir=self.folder
            ) as made:
                yield Path(made)

    def adopt(
        self, incoming: Path, files: Iterable[tuple[str, str]], digest: str
    ) -> None:
        """Take in a version; it appears whole.

        Args:
            incoming: Of `incoming`; its folder `files` has the files, verified.
            files: Path and digest of each.
            digest: The version's.
        """
        blobs, links = self.folder / "blobs", incoming / "links"
        with writing(self.folder):
            blobs.mkdir(exist_ok=True)
            links.mkdir()
            for path, file_digest in files:
                check_path(path)
                blob = blobs / parse_digest(file_digest)
                # Over what lies there, for nobody has verified that today.
                (incoming / "files" / path).replace(blob)
                link = links / path
                link.parent.mkdir(parents=True, exist_ok=True)
                # As seen from snapshots/COMMIT/, where the links will be.
                up = "../" * (2 + path.count("/"))
                link.symlink_to(f"{up}blobs/{blob.name}")
            snapshot = self.snapshot(digest)
            snapshot.parent.mkdir(exist_ok=True)
            try:
                links.rename(snapshot)
            except OSError:
                if not snapshot.is_dir():
                    raise
                # Somebody else pulled the same meanwhile.

    def point(self, revisions: Iterable[str], digest: str) -> None:
        """Let revisions lead to a version.

        Args:
            revisions: Such as `main`; names or numbers.
            digest: The version's.
        """
        refs = self.folder / "refs"
        with writing(refs):
            refs.mkdir(parents=True, exist_ok=True)
            for revision in revisions:
                if not revision.isdigit():
                    check_id(revision)
                with tempfile.NamedTemporaryFile(
                    "w", dir=refs, prefix=".", delete=False
                ) as file:
                    file.write(self.snapshot(digest).name)
                Path(file.name).chmod(0o644)
                Path(file.name).replace(refs / revision)

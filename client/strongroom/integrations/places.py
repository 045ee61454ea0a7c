# SPDX-License-Identifier: Apache-2.0
"""Paths of the file system: what a text names, and what may be written there."""

from dataclasses import dataclass
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format.names import (
    LATEST,
    SCHEME,
    ArtifactName,
    ProjectName,
    Uri,
    parse_uri,
)

PROTOCOL: Final = SCHEME.removesuffix(":")


@dataclass(frozen=True, slots=True)
class Place:
    """The root, a project, a version of an artifact, or a path in a version."""

    #: The text up to the version, as it was given: `demo/minilm@prod`; may be "".
    root: str = ""
    #: The version and the path; None for the root and for a project.
    uri: Uri | None = None

    @property
    def path(self) -> str:
        """The path in the version, without a slash at either end; may be ""."""
        return self.uri.path if self.uri is not None else ""

    @property
    def name(self) -> str:
        """The whole text, without the protocol and without a slash at its end."""
        return f"{self.root}/{self.path}" if self.path else self.root

    def below(self, path: str) -> str:
        """Return the text that names a path of the same version."""
        return f"{self.root}/{path}"


def strip_protocol(text: str) -> str:
    """Return a path without `strongroom://`, or what pathlib made of it."""
    if text.startswith(SCHEME):
        text = text.removeprefix(SCHEME)
    return text.strip("/")


def parse_place(text: str) -> Place:
    """Return what a path names.

    Raises:
        InvalidArgumentError: It names nothing that could be there (NAME_MALFORMED,
            PATH_MALFORMED).
    """
    stripped = strip_protocol(text)
    project, slash, rest = stripped.partition("/")
    if not slash:
        return Place(ProjectName(project).project if project else "")
    head = rest.partition("/")[0]
    return Place(f"{project}/{head}", parse_uri(stripped))


def written_at(text: str) -> tuple[ArtifactName, str]:
    """Return the artifact and the path of a file that is to be put, or removed.

    Raises:
        InvalidArgumentError: It names no file, or a version, which never changes
            (ARGUMENT_INVALID, NAME_MALFORMED, PATH_MALFORMED).
    """
    place = parse_place(text)
    uri = place.uri
    if uri is None or not uri.path:
        message = f"{text!r} names no file of an artifact"
        raise InvalidArgumentError(
            message, hint="Write it like strongroom://demo/minilm/a.txt.", name=text
        )
    if uri.selector != LATEST:
        message = f"{place.root} is a version, and versions never change"
        raise InvalidArgumentError(
            message,
            hint=f"Write to strongroom://{uri.artifact.short}/{uri.path}; "
            "that makes a new version.",
            name=text,
        )
    return uri.artifact, uri.path


def is_directory_error(text: str) -> InvalidArgumentError:
    """Return the error for a directory where a file is needed."""
    message = f"{text} is a directory"
    return InvalidArgumentError(
        message,
        reason=Reason.PATH_MALFORMED,
        hint="Name a file, or say recursive=True where that is possible.",
        name=text,
    )

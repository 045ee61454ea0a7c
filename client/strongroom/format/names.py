# SPDX-License-Identifier: Apache-2.0
"""Names: resource names, URIs, selectors and paths, parsed and formatted.

A value of a class of this module has passed its checks; a plain string has not.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason

#: The ref that moves by itself to each new version.
LATEST: Final = "latest"
SCHEME: Final = "strongroom:"
MAX_PATH_BYTES: Final = 4096
MAX_SEGMENT_BYTES: Final = 255
#: A digest prefix shorter than this is refused as too easy to mistake.
MIN_DIGEST_PREFIX: Final = 6

_ID: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}\Z")
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{1,64})\Z")
_BACK: Final = re.compile(r"(.+)~([0-9]{1,6})\Z")
#: `fromisoformat` takes any character between date and time, even a slash.
_TIME: Final = re.compile(r"[0-9TWZ:.+-]{1,40}\Z")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NAME_HINT: Final = "Write it like demo/minilm, demo/minilm@prod, demo/minilm@3/a.txt."
_ID_RULE: Final = "lower-case letters, digits and '-', at most 63, a letter first"


@dataclass(frozen=True, slots=True, order=True)
class ProjectName:
    """`projects/{project}`."""

    project: str

    def __post_init__(self) -> None:
        check_id(self.project)

    @property
    def resource(self) -> str:
        """The resource name."""
        return f"projects/{self.project}"


@dataclass(frozen=True, slots=True, order=True)
class ArtifactName:
    """`projects/{project}/artifacts/{artifact}`."""

    project: str
    artifact: str

    def __post_init__(self) -> None:
        check_id(self.project)
        check_id(self.artifact)

    @property
    def resource(self) -> str:
        """The resource name."""
        return f"projects/{self.project}/artifacts/{self.artifact}"

    @property
    def short(self) -> str:
        """The name as people write it: `{project}/{artifact}`."""
        return f"{self.project}/{self.artifact}"


@dataclass(frozen=True, slots=True)
class NumberSelector:
    """The version of this number."""

    number: int


@dataclass(frozen=True, slots=True)
class RefSelector:
    """The version that a ref points at, or pointed at `back` moves ago."""

    ref: str
    back: int = 0


@dataclass(frozen=True, slots=True)
class DigestSelector:
    """The version whose digest starts with these hex digits."""

    prefix: str


@dataclass(frozen=True, slots=True)
class TimeSelector:
    """What `latest` was at this time."""

    time: datetime


Selector = NumberSelector | RefSelector | DigestSelector | TimeSelector


@dataclass(frozen=True, slots=True)
class VersionName:
    """`{artifact}/versions/{selector}`; the selector parses."""

    artifact: ArtifactName
    selector: str

    def __post_init__(self) -> None:
        parse_selector(self.selector)

    @property
    def resource(self) -> str:
        """The resource name."""
        return f"{self.artifact.resource}/versions/{self.selector}"

    @property
    def short(self) -> str:
        """The name as people write it: `{project}/{artifact}@{selector}`."""
        return f"{self.artifact.short}@{self.selector}"


@dataclass(frozen=True, slots=True)
class RefName:
    """`{artifact}/refs/{ref}`."""

    artifact: ArtifactName
    ref: str

    def __post_init__(self) -> None:
        check_id(self.ref)

    @property
    def resource(self) -> str:
        """The resource name."""
        return f"{self.artifact.resource}/refs/{self.ref}"


@dataclass(frozen=True, slots=True)
class Uri:
    """`strongroom://project/artifact@selector/path`.

    `path` is "" for the whole version and ends in "/" for a directory.
    """

    artifact: ArtifactName
    selector: str = LATEST
    path: str = ""

    def __post_init__(self) -> None:
        parse_selector(self.selector)
        if self.path:
            check_path(self.path.removesuffix("/"))

    @property
    def version(self) -> VersionName:
        """The version part."""
        return VersionName(self.artifact, self.selector)

    def __str__(self) -> str:
        path = f"/{self.path}" if self.path else ""
        return f"strongroom://{self.artifact.short}@{self.selector}{path}"


def check_id(text: str) -> None:
    """Check the id of a project, artifact or ref.

    Raises:
        InvalidArgumentError: It does not match the rule of AIP-122
            (NAME_MALFORMED).
    """
    if not _ID.match(text):
        raise _refused(text, f"is not a name: {_ID_RULE}")


def check_path(path: str) -> None:
    """Check the path of a file in a version.

    Raises:
        InvalidArgumentError: Absolute, escaping, too long, not UTF-8, or with
            control characters or backslashes, which `sha256sum` and Windows
            would read otherwise (PATH_MALFORMED).
    """
    problem = _path_problem(path)
    if problem:
        shown = path.encode("utf-8", "backslashreplace").decode()[:200]
        message = f"path {shown!r} {problem}"
        raise InvalidArgumentError(
            message,
            reason=Reason.PATH_MALFORMED,
            hint="Rename the file, or leave it out.",
            path=shown,
        )


def _path_problem(path: str) -> str:
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    segments = path.split("/")
    checks = (
        (not path, "is empty"),
        (path.startswith("/"), "is absolute"),
        (len(encoded) > MAX_PATH_BYTES, f"is longer than {MAX_PATH_BYTES} bytes"),
        (
            any(len(part.encode()) > MAX_SEGMENT_BYTES for part in segments),
            f"has a segment of more than {MAX_SEGMENT_BYTES} bytes",
        ),
        (any(part in {"", ".", ".."} for part in segments), "escapes its folder"),
        ("\\" in path, "has a backslash"),
        (
            _CONTROL.search(path) is not None,
            "has control characters",
        ),
    )
    return next((problem for bad, problem in checks if bad), "")


def parse_project_name(resource: str) -> ProjectName:
    """Parse `projects/{project}`, or raise InvalidArgumentError (NAME_MALFORMED)."""
    match resource.split("/"):
        case ["projects", project]:
            return ProjectName(project)
        case _:
            raise _refused(resource, "is not projects/{project}")


def parse_artifact_name(resource: str) -> ArtifactName:
    """Parse `projects/{project}/artifacts/{artifact}`."""
    match resource.split("/"):
        case ["projects", project, "artifacts", artifact]:
            return ArtifactName(project, artifact)
        case _:
            raise _refused(resource, "is not projects/{project}/artifacts/{artifact}")


def parse_version_name(resource: str) -> VersionName:
    """Parse `projects/{project}/artifacts/{artifact}/versions/{selector}`."""
    match resource.split("/", 5):
        case ["projects", project, "artifacts", artifact, "versions", selector]:
            return VersionName(ArtifactName(project, artifact), selector)
        case _:
            rule = "is not projects/{project}/artifacts/{artifact}/versions/{version}"
            raise _refused(resource, rule)


def parse_ref_name(resource: str) -> RefName:
    """Parse `projects/{project}/artifacts/{artifact}/refs/{ref}`."""
    match resource.split("/"):
        case ["projects", project, "artifacts", artifact, "refs", ref]:
            return RefName(ArtifactName(project, artifact), ref)
        case _:
            raise _refused(
                resource, "is not projects/{project}/artifacts/{artifact}/refs/{ref}"
            )


def parse_selector(text: str) -> Selector:
    """Parse what may stand behind `@`.

    A number (`12`), a ref (`prod`), a ref some moves ago (`prod~1`), a digest or
    prefix (`sha256:ab12cd`), or a time in braces (`{2026-11-01T00:00Z}`).

    Raises:
        InvalidArgumentError: It is none of them (NAME_MALFORMED).
    """
    if _NUMBER.match(text):
        return NumberSelector(int(text))
    if text.startswith("{") and text.endswith("}"):
        return TimeSelector(_parse_time(text[1:-1]))
    if digest := _DIGEST.match(text):
        if len(digest[1]) < MIN_DIGEST_PREFIX:
            raise _refused(text, f"needs at least {MIN_DIGEST_PREFIX} hex digits")
        return DigestSelector(digest[1])
    back = 0
    ref = text
    if moved := _BACK.match(text):
        ref, back = moved[1], int(moved[2])
    if not _ID.match(ref):
        raise _refused(
            text, "is not a version: a number, ref, ref~N, sha256:… or {time}"
        )
    return RefSelector(ref, back)


def parse_uri(text: str) -> Uri:
    """Parse `strongroom://project/artifact[@selector][/path]`.

    The scheme may be left out, and one slash after it is enough, since
    `pathlib` swallows the other.

    Raises:
        InvalidArgumentError: It does not parse (NAME_MALFORMED, PATH_MALFORMED).
    """
    _check_text(text)
    rest = text
    if text.startswith(SCHEME):
        rest = text.removeprefix(SCHEME).lstrip("/")
    project, slash, rest = rest.partition("/")
    if not slash:
        raise _refused(text, "is not project/artifact[@version][/path]")
    head, _, path = _split_path(rest)
    artifact, at, selector = head.partition("@")
    if at and not selector:
        raise _refused(text, "has nothing behind '@'")
    return Uri(ArtifactName(project, artifact), selector or LATEST, path)


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        message = f"a name is text, and no {type(text).__name__}"
        raise InvalidArgumentError(message, reason=Reason.NAME_MALFORMED)


def _split_path(rest: str) -> tuple[str, str, str]:
    # A time may hold no slash, so the first one behind the artifact ends it.
    return rest.partition("/")


def _parse_time(text: str) -> datetime:
    problem = "is not a time, such as 2026-11-01T00:00Z"
    if not _TIME.match(text):
        raise _refused(text, problem)
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise _refused(text, problem) from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _refused(text: str, problem: str) -> InvalidArgumentError:
    shown = text.encode("utf-8", "backslashreplace").decode()[:200]
    message = f"name {shown!r} {problem}"
    return InvalidArgumentError(
        message, reason=Reason.NAME_MALFORMED, hint=_NAME_HINT, name=shown
    )

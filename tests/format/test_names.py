# SPDX-License-Identifier: Apache-2.0
"""Names, selectors, paths and URIs: what parses, what does not, and back again."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format import names
from strongroom.format.names import (
    ArtifactName,
    ProjectName,
    RefName,
    RefSelector,
    TimeSelector,
    Uri,
    VersionName,
)
from tests.support.properties import QUICK

IDS = st.from_regex(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
TIMES = st.datetimes(
    min_value=datetime(1970, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))]),
).map(lambda time: f"{{{time.isoformat()}}}")
SELECTORS = st.one_of(
    st.integers(1, 10**18 - 1).map(str),
    IDS,
    st.builds("{}~{}".format, IDS, st.integers(0, 999_999)),
    st.text("0123456789abcdef", min_size=6, max_size=64).map("sha256:{}".format),
    TIMES,
)
SEGMENTS = st.text(
    st.characters(
        exclude_categories=["Cs"], exclude_characters="/\\\x7f", min_codepoint=32
    ),
    min_size=1,
    max_size=40,
).filter(lambda text: text not in {".", ".."} and len(text.encode()) <= 255)
PATHS = st.lists(SEGMENTS, min_size=1, max_size=6).map("/".join)


@QUICK
@given(IDS, IDS, SELECTORS, IDS)
def test_what_is_formatted_parses_to_the_same_name(
    project: str, artifact: str, selector: str, ref: str
) -> None:
    name = ArtifactName(project, artifact)

    assert names.parse_project_name(f"projects/{project}") == ProjectName(project)
    assert names.parse_artifact_name(name.resource) == name
    version = VersionName(name, selector)
    assert names.parse_version_name(version.resource) == version
    assert names.parse_ref_name(RefName(name, ref).resource) == RefName(name, ref)


@QUICK
@given(IDS, IDS, SELECTORS, st.one_of(st.just(""), PATHS, PATHS.map("{}/".format)))
def test_a_uri_reads_back_as_it_was_written(
    project: str, artifact: str, selector: str, path: str
) -> None:
    uri = Uri(ArtifactName(project, artifact), selector, path)

    assert names.parse_uri(str(uri)) == uri
    assert names.parse_uri(str(uri).replace("://", ":/", 1)) == uri
    assert names.parse_uri(str(uri).removeprefix("strongroom://")) == uri


PARSERS: list[Callable[[str], object]] = [
    names.parse_project_name,
    names.parse_artifact_name,
    names.parse_version_name,
    names.parse_ref_name,
    names.parse_selector,
    names.parse_uri,
    names.check_id,
    names.check_path,
]
PARTS = [
    *("projects", "artifacts", "versions", "refs", "/", "@", "{", "}", "~", ":"),
    *("strongroom:", "sha256:", "latest", "2026-11-01T00:00", "..", "\ud800"),
]
NAME_LIKE = st.lists(
    st.one_of(
        st.sampled_from(PARTS),
        st.text(max_size=4),
    ),
    max_size=12,
).map("".join)


def refusal_of(
    parse: Callable[[str], object], text: str
) -> InvalidArgumentError | None:
    try:
        parse(text)
    except InvalidArgumentError as error:
        return error
    return None


@pytest.mark.parametrize("parse", PARSERS)
def test_a_parser_of_names_raises_nothing_but_our_error(
    parse: Callable[[str], object],
) -> None:
    @QUICK
    @given(st.one_of(st.text(max_size=60), NAME_LIKE))
    def parses_or_is_refused(text: str) -> None:
        refusal = refusal_of(parse, text)
        if refusal is not None:
            assert refusal.reason in {Reason.NAME_MALFORMED, Reason.PATH_MALFORMED}
            assert str(refusal).isprintable()

    parses_or_is_refused()


@pytest.mark.parametrize(
    "time", ["2026-11-01/00:00", "2026-11-01\n00:00", "2026-11-01@00:00", "noon", ""]
)
def test_a_time_holds_nothing_that_a_uri_would_read_otherwise(time: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        names.parse_selector(f"{{{time}}}")

    assert caught.value.reason is Reason.NAME_MALFORMED


def test_a_time_without_a_zone_is_utc() -> None:
    assert names.parse_selector("{2026-11-01T00:00}") == TimeSelector(
        datetime(2026, 11, 1, tzinfo=UTC)
    )


def test_no_tilde_is_none_back() -> None:
    assert names.parse_selector("prod") == RefSelector("prod", 0)
    assert names.parse_selector("prod~0") == RefSelector("prod", 0)


def test_a_uri_without_a_selector_means_the_newest_version() -> None:
    assert names.parse_uri("demo/minilm") == Uri(ArtifactName("demo", "minilm"))
    assert names.parse_uri("demo/minilm/").path == ""
    assert names.parse_uri("demo/minilm/a@b").path == "a@b"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("a" * 255, True),
        ("a" * 256, False),
        ("é" * 127, True),
        ("é" * 128, False),
        ("/".join(["a" * 255] * 16), True),
        ("/".join(["a" * 255] * 17), False),
    ],
)
def test_the_limits_of_paths_count_bytes(path: str, allowed: bool) -> None:
    refusal = refusal_of(names.check_path, path)

    assert (refusal is None) == allowed
    assert len(str(refusal)) < 400

# SPDX-License-Identifier: Apache-2.0
"""Listings of stores that do strange things, and of keys that XML cannot hold."""

from collections.abc import Iterator

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.adapters.s3 import S3BlobStore, S3Settings, open_s3
from tests.contract.scripted_s3 import ScriptedS3, answer_of, scripted_s3
from tests.support.clock import ManualClock

DATE = "Mon, 23 Nov 2026 17:00:00 GMT"
TIME = "2026-11-23T17:00:00.5Z"
TIME_S = 1795453200.5


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with scripted_s3() as running:
        yield running


@pytest.fixture
def store(server: ScriptedS3) -> Iterator[S3BlobStore]:
    settings = S3Settings(
        endpoint=server.endpoint,
        region="eu-west-1",
        bucket="models",
        access_key="AKIA",
        secret_key="secret",
        page_size=2,
    )
    with open_s3(settings, ManualClock()) as opened:
        yield opened


def row(key: str, version_id: str = "v", *, time: str = TIME, size: str = "7") -> str:
    return (
        f"<Version><Key>{key}</Key><VersionId>{version_id}</VersionId><ETag>x</ETag>"
        f"<LastModified>{time}</LastModified><Size>{size}</Size>"
        "<Owner><ID>1</ID></Owner></Version>"
    )


def page(*rows: str, more: str = "") -> bytes:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListVersionsResult '
        'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><KeyMarker/>'
        f"{''.join(rows)}{more}</ListVersionsResult>"
    )
    return answer_of(200, body.encode(), more=f"date: {DATE}\r\n")


def test_every_version_is_told_and_no_delete_marker(
    server: ScriptedS3, store: S3BlobStore
) -> None:
    marker = "<DeleteMarker><Key>a</Key><VersionId>m</VersionId></DeleteMarker>"
    server.answers += [page(marker, row("a", "2"), row("a", "1"), row("b", "3"))] * 2

    found = list(store.versions(""))

    assert [(one.key, one.version_id) for one in found] == [
        ("a", "2"),
        ("a", "1"),
        ("b", "3"),
    ]
    assert {(one.size_bytes, one.modified_s) for one in found} == {(7, TIME_S)}
    assert [one.version_id for one in store.first_versions("")] == ["1", "3"]


@pytest.mark.parametrize(
    "time", ["2026-11-23T17:00:00.500000000Z", "2026-11-23T18:00:00.5+01:00"]
)
def test_times_may_be_spelled_in_other_ways(
    server: ScriptedS3, store: S3BlobStore, time: str
) -> None:
    server.answers.append(page(row("a", time=time)))

    assert [one.modified_s for one in store.versions("")] == [TIME_S]


def test_the_next_page_begins_where_the_last_ended(
    server: ScriptedS3, store: S3BlobStore
) -> None:
    ends = (
        "<IsTruncated>true</IsTruncated><NextKeyMarker>b</NextKeyMarker>"
        "<NextVersionIdMarker>3</NextVersionIdMarker>"
    )
    server.answers += [page(row("a"), row("b", "3"), more=ends), page(row("b", "2"))]

    assert [one.version_id for one in store.versions("", start_after="0")] == [
        "v",
        "3",
        "2",
    ]
    first, second = (head.partition(b" HTTP")[0] for head in server.heads)
    assert first.endswith(
        b"?encoding-type=url&key-marker=0&max-keys=2&prefix=&versions="
    )
    assert second.endswith(
        b"?encoding-type=url&key-marker=b&max-keys=2&prefix=&version-id-marker=3"
        b"&versions="
    )


def test_keys_may_hold_what_xml_cannot(server: ScriptedS3, store: S3BlobStore) -> None:
    quoted = "<EncodingType>url</EncodingType>"
    ends = "<IsTruncated>true</IsTruncated><NextKeyMarker>b%01</NextKeyMarker>"
    server.answers += [
        page(row("a%26"), row("b%01"), more=quoted + ends),
        page(row("%C3%BC"), more=quoted),
        page(row("a%26")),
        page(more=f"{quoted}<CommonPrefixes><Prefix>%C3%BC/</Prefix></CommonPrefixes>"),
    ]

    assert [one.key for one in store.versions("")] == ["a&", "b\x01", "ü"]
    assert b"key-marker=b%01&" in server.heads[1]
    # Who does not say that it quotes does not.
    assert [one.key for one in store.versions("")] == ["a%26"]
    assert list(store.subfolders("")) == ["ü/"]


@pytest.mark.parametrize(
    "pages",
    [
        [page(row("b"), row("a"))],
        [page(more="<IsTruncated>true</IsTruncated>")],
        [
            page(
                more="<IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker>"
            ),
        ]
        * 2,
    ],
    ids=["out of order", "no marker", "the same marker"],
)
def test_a_listing_that_makes_no_sense_is_refused(
    server: ScriptedS3, store: S3BlobStore, pages: list[bytes]
) -> None:
    server.answers += pages

    with pytest.raises(PreconditionError) as caught:
        list(store.versions(""))

    assert caught.value.reason is Reason.STORE_UNSUITABLE


@pytest.mark.parametrize(
    "answer",
    [
        answer_of(200),
        answer_of(200, b"<Error><Code>InternalError</Code></Error>"),
        answer_of(200, b"<ListVersionsResult>"),
        page(row("a", time="yesterday")),
        page(row("a", size="many")),
        page("<Version><Key>a</Key></Version>"),
        page(row("a"), more=" " * 200_000),
    ],
    ids=range(7),
)
def test_an_answer_that_is_no_listing_is_not_an_empty_one(
    server: ScriptedS3, store: S3BlobStore, answer: bytes
) -> None:
    server.answers += [answer] * 4

    with pytest.raises(UnavailableError):
        list(store.versions(""))

    assert len(server.heads) == 4


def test_the_stores_time_is_that_of_its_answers(
    server: ScriptedS3, store: S3BlobStore
) -> None:
    server.answers += [page(), page().replace(DATE.encode(), b"soon")]

    assert store.time_s() == TIME_S - 0.5
    with pytest.raises(PreconditionError, match="date"):
        store.time_s()

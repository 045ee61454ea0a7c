# SPDX-License-Identifier: Apache-2.0
"""A server that lies to a reader of many files is found out."""

import hashlib
from pathlib import Path

import pytest

from strongroom._convert import answered_version_of
from strongroom.client import Client, Reader
from strongroom.errors import IntegrityError, Reason
from strongroom.format.names import ArtifactName, VersionName
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.values import FileRange
from tests.client.test_untrusted_server import GOOD, lying, version

DIGEST = hashlib.sha256(GOOD).digest()
HONEST = pb.FoundFiles(length_bytes=[len(GOOD)], sha256=DIGEST, data=GOOD)
LIES = {
    "other bytes": pb.FoundFiles(
        length_bytes=[len(GOOD)], sha256=DIGEST, data=GOOD[::-1]
    ),
    "no digest": pb.FoundFiles(length_bytes=[len(GOOD)], data=GOOD),
    "a digest too many": pb.FoundFiles(
        length_bytes=[len(GOOD)], sha256=DIGEST * 2, data=GOOD
    ),
    "fewer bytes than it says": pb.FoundFiles(
        length_bytes=[len(GOOD)], sha256=DIGEST, data=GOOD[1:]
    ),
    "a file too many": pb.FoundFiles(
        length_bytes=[len(GOOD), 0], sha256=DIGEST, data=GOOD
    ),
    "a negative length": pb.FoundFiles(
        length_bytes=[len(GOOD) + 1, -1], sha256=DIGEST, data=GOOD
    ),
    "memory that it never gave": pb.FoundFiles(
        length_bytes=[len(GOOD)],
        shared=pb.SharedPieces(segment=0, segment_offset_bytes=[0]),
    ),
}


def reader_of(client: Client) -> Reader:
    known = answered_version_of(
        version(), VersionName(ArtifactName("demo", "lies"), "1")
    )
    return client.reader(known)


def test_an_honest_answer_is_believed(tmp_path: Path) -> None:
    with lying(tmp_path) as (client, lies), reader_of(client) as reader:
        lies.found = HONEST
        assert reader.read("file") == GOOD


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_found_out(tmp_path: Path, name: str) -> None:
    with lying(tmp_path) as (client, lies), reader_of(client) as reader:
        lies.found = LIES[name]
        with pytest.raises(IntegrityError) as caught:
            reader.read("file")
    assert caught.value.reason in {Reason.DIGEST_MISMATCH, Reason.MANIFEST_CORRUPT}


def test_a_range_longer_than_wanted_is_refused(tmp_path: Path) -> None:
    with lying(tmp_path) as (client, lies), reader_of(client) as reader:
        lies.found = pb.FoundFiles(length_bytes=[len(GOOD)], data=GOOD)
        with pytest.raises(IntegrityError):
            reader.read_many([FileRange("file", length=len(GOOD) - 1)])

# SPDX-License-Identifier: Apache-2.0
"""The file of operators' credentials: what it may say, and changes under a server."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from fido2 import cbor

from strongroom.errors import PreconditionError, Reason, StrongroomError
from strongroom_server.adapters.credentials_file import CredentialsFile
from strongroom_server.core.operator_credentials import (
    MAX_FILE_BYTES,
    OperatorCredential,
    credential_name,
)
from strongroom_server.followed_file import LOOK_S
from tests.support.clock import ManualClock
from tests.support.security_keys import BOB, CAROL, TestKey

BOBS, CAROLS = TestKey("bob-1", BOB), TestKey("carol-1", CAROL)
PUBLIC = credential_name(BOBS.credential.public_key)
#: The same key, said otherwise; and one that the same person can compute.
_PARTS: Any = cbor.decode(BOBS.credential.public_key)
_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
_OTHER_Y = (_PRIME - int.from_bytes(_PARTS[-3], "big")).to_bytes(32, "big")
_RAW = BOBS.credential.public_key
REORDERED = credential_name(_RAW[:1] + _RAW[3:5] + _RAW[1:3] + _RAW[5:])
NEGATED = credential_name(cbor.encode({**_PARTS, -3: _OTHER_Y}))


def entry(key: TestKey, **other: object) -> str:
    known = key.credential
    fields: dict[str, object] = {
        "name": known.name,
        "operator": known.operator,
        "credential_id": credential_name(known.credential_id),
        "public_key": credential_name(known.public_key),
        **other,
    }
    lines = (f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
    return "[[credentials]]\n" + "".join(lines)


class Watched:
    """A file, its reader and the reader's clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock()
        path.write_text(entry(BOBS))
        self.file = CredentialsFile(path, clock=self.clock)

    def write(self, text: str | bytes) -> None:
        new = self.path.with_suffix(".new")
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        new.replace(self.path)
        self.clock.advance(LOOK_S)

    @property
    def found(self) -> list[OperatorCredential]:
        return list(self.file.current().values())


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "credentials.toml")


def test_a_change_is_seen_within_a_second(watched: Watched) -> None:
    assert watched.found == [BOBS.credential]

    watched.write(entry(BOBS) + entry(CAROLS))
    assert watched.found == [BOBS.credential, CAROLS.credential]

    watched.write("")
    assert watched.found == []
    watched.file.check_current()


@pytest.mark.parametrize(
    "bad",
    [
        b"\xff\xff",
        "credentials = ",
        "credentials = 1",
        "credentials = [1]",
        "other = 1",
        "#" * (MAX_FILE_BYTES + 1),
        entry(BOBS) + entry(BOBS),
        entry(BOBS) + entry(CAROLS, name="bob-1"),
        entry(BOBS) + entry(BOBS, name="again"),
        entry(BOBS) + entry(CAROLS, public_key=PUBLIC),
        entry(BOBS) + entry(CAROLS, public_key=REORDERED),
        entry(BOBS) + entry(CAROLS, public_key=NEGATED),
        entry(BOBS) + entry(CAROLS, operator="operator:Bob"),
        entry(BOBS, public_key="AAAA"),
        entry(BOBS, rights="all"),
        entry(BOBS, name="Bob's"),
        entry(BOBS, operator="bob"),
        entry(BOBS, operator="operator:*"),
        entry(BOBS, operator="spiffe://test/ns/a"),
        entry(BOBS, credential_id=""),
        entry(BOBS, credential_id="AAA="),
        entry(BOBS, credential_id="AB+/"),
        entry(BOBS, credential_id="AB"),
        entry(BOBS, credential_id="A" * 1400),
        entry(BOBS, public_key=7),
        entry(BOBS, public_key="A" * 8000),
    ],
)
def test_while_the_file_is_bad_nobody_can_approve(
    watched: Watched, bad: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "strongroom_server.credentials"):
        watched.write(bad)
        for _ in range(3):
            assert watched.found == []
            watched.clock.advance(LOOK_S)

    assert len([line for line in caplog.messages if "refused" in line]) == 1
    depths = set()
    for _ in range(3):  # health probes ask every few seconds, until it is mended
        with pytest.raises(StrongroomError) as alarm:
            watched.file.check_current()
        assert alarm.value.reason is Reason.SETTING_INVALID
        depths.add(len(alarm.traceback))
    assert len(depths) == 1
    watched.write(entry(CAROLS))
    assert watched.found == [CAROLS.credential]
    watched.file.check_current()


def test_a_file_that_is_gone_is_an_alarm(watched: Watched) -> None:
    watched.path.unlink()
    watched.clock.advance(LOOK_S)

    assert watched.found == []
    with pytest.raises(PreconditionError, match="cannot be read"):
        watched.file.check_current()


def test_a_server_does_not_start_without_it(tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match="cannot be read"):
        CredentialsFile(tmp_path / "none", clock=ManualClock())

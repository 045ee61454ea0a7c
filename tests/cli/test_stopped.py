# SPDX-License-Identifier: Apache-2.0
"""Long work that does not come to its end says how to go on."""

from collections.abc import Iterator
from typing import Any

import pytest

from strongroom.cli.doctor import examine
from strongroom.cli.output import Output, counted
from strongroom.cli.session import Session
from strongroom.cli.verifying import StoreVerify, verify_store
from strongroom.errors import InternalError, UnavailableError
from strongroom.values import Stage
from tests.cli.conftest import Command
from tests.client.engine import Engine


class BreaksOff:
    """A client whose verification ends before its report."""

    def __init__(self, error: BaseException | None) -> None:
        self._error = error

    def iter_verify_store(self, name: str, **options: object) -> Iterator[Stage]:
        yield Stage("reading", 10, 100, in_bytes=True, resume_token="first")
        yield Stage("reading", 20, 100, in_bytes=True, resume_token="second")
        yield Stage("listing", 20, 100, in_bytes=True)
        if self._error is not None:
            raise self._error


def client(error: BaseException | None) -> Any:  # noqa: ANN401 - a Client, nearly
    return BreaksOff(error)


@pytest.mark.parametrize("error", [UnavailableError("gone"), KeyboardInterrupt()])
def test_a_verification_that_stops_tells_the_newest_token(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(error)):
        verify_store(client(error), StoreVerify(""), Output(), watched=False)

    assert "--resume second" in capsys.readouterr().err


def test_without_a_report_nothing_is_called_whole() -> None:
    with pytest.raises(InternalError):
        verify_store(client(None), StoreVerify(""), Output(), watched=False)


def test_doctor_ends_with_17_where_a_part_is_only_away(
    strongroom: Command, engine: Engine
) -> None:
    engine.world.key_service.seal()
    try:
        result = strongroom("doctor")
        checks = strongroom("doctor", "--json").lines
    finally:
        engine.world.key_service.unseal()

    assert result.code == 17
    [failed] = [check for check in checks if not check["ok"]]
    assert failed["check"] == "vault.ready"
    columns = {
        line.index(line.split(maxsplit=2)[2])
        for line in result.out.splitlines()
        if line.startswith(("ok", "!"))
    }
    assert len(columns) == 1, "details stand in one column"


def test_doctor_of_nothing_ends_with_the_settings() -> None:
    session = Session(endpoint="no port")

    diagnoses = list(examine(session))

    assert [(item.check, item.ok) for item in diagnoses] == [("settings", False)]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files")]
)
def test_one_thing_is_told_as_one(count: int, text: str) -> None:
    assert counted(count, "file") == text

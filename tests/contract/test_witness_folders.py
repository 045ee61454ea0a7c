# SPDX-License-Identifier: Apache-2.0
"""A witness's folder is its memory: kept over restarts, and never begun anew."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_checkpoints import MemoryCheckpointSigner
from strongroom_server.adapters.witness_files import (
    LOGS,
    QUANTUM,
    create_witness,
    read_cosigning_keys,
)
from strongroom_server.core.witness import WitnessStatus, origin_name
from strongroom_server.witness_program import WitnessOptions, running_witness
from tests.contract.witness_suites import NAME, ORIGIN, checkpoint, submission
from tests.contract.witness_world import http_witness, witness_options


@pytest.fixture
def signer() -> MemoryCheckpointSigner:
    return MemoryCheckpointSigner(entropy=SystemEntropy())


@pytest.fixture
def options(tmp_path: Path, signer: MemoryCheckpointSigner) -> WitnessOptions:
    return witness_options(tmp_path, signer)


@pytest.fixture
def folder(options: WitnessOptions) -> Path:
    return options.folder


@pytest.fixture
def port(options: WitnessOptions) -> Iterator[int]:
    with running_witness(options) as port:
        yield port


def test_a_witness_remembers_over_its_restart(
    options: WitnessOptions, folder: Path, signer: MemoryCheckpointSigner
) -> None:
    for old_size, size in ((0, 3), (3, 9)):
        with running_witness(options) as port:
            sent = submission(signer, old_size, size)
            answer = http_witness(port, folder).add_checkpoint(sent)
            assert answer.status is WitnessStatus.COSIGNED

    assert (
        (folder / LOGS / origin_name(ORIGIN))
        .read_bytes()
        .startswith(checkpoint(9).body)
    )


def test_a_witness_without_its_memory_does_not_start(
    options: WitnessOptions, folder: Path
) -> None:
    (folder / LOGS).rmdir()

    with pytest.raises(PreconditionError, match="what it remembers"):
        running_witness(options).__enter__()


def test_a_damaged_memory_is_not_taken_for_an_empty_one(
    options: WitnessOptions, folder: Path, signer: MemoryCheckpointSigner
) -> None:
    with running_witness(options) as port:
        http_witness(port, folder).add_checkpoint(submission(signer, 0, 5))
    path = folder / LOGS / origin_name(ORIGIN)
    good = path.read_bytes()
    other = good.replace(b"\n5\n", b"\n4\n")

    for bad in (b"", good[:-9], other):
        path.write_bytes(bad)
        with pytest.raises(IntegrityError) as error:
            running_witness(options).__enter__()
        assert error.value.reason is Reason.AUDIT_CORRUPT


def test_one_process_has_a_witnesss_memory(options: WitnessOptions, port: int) -> None:
    assert port
    with pytest.raises(PreconditionError, match="another process has it"):
        running_witness(options).__enter__()


def test_a_witness_is_not_made_over_another(folder: Path) -> None:
    with pytest.raises(PreconditionError) as error:
        create_witness(folder, NAME, entropy=SystemEntropy())

    assert error.value.reason is Reason.TARGET_EXISTS


def test_keys_that_others_can_read_are_not_used(folder: Path) -> None:
    (folder / QUANTUM).chmod(0o640)

    with pytest.raises(PreconditionError, match="others than its owner"):
        read_cosigning_keys(folder)


def test_damaged_keys_are_named(folder: Path) -> None:
    (folder / "name").write_text("a name")
    with pytest.raises(PreconditionError, match="keys are damaged"):
        read_cosigning_keys(folder)
    (folder / QUANTUM).write_bytes(b"no key")
    with pytest.raises(PreconditionError, match="keys are damaged"):
        read_cosigning_keys(folder)
    (folder / QUANTUM).unlink()
    with pytest.raises(PreconditionError, match="No such file"):
        read_cosigning_keys(folder)


def test_what_cannot_be_kept_is_not_cosigned(
    options: WitnessOptions, folder: Path, signer: MemoryCheckpointSigner
) -> None:
    with running_witness(options) as port:
        own = http_witness(port, folder)
        (folder / LOGS / f"{origin_name(ORIGIN)}.new").mkdir()
        with pytest.raises(UnavailableError, match="status 503"):
            own.add_checkpoint(submission(signer, 0, 5))
        assert own.newest(ORIGIN) is None


@pytest.mark.parametrize(
    ("listen", "text", "match"),
    [
        ("0.0.0.0:0", "", "loopback only"),
        ("localhost", "", "no address"),
        ("127.0.0.1:0", "nonsense", "no public key"),
        ("127.0.0.1:0", "\n", "no public key of a log"),
    ],
)
def test_what_a_witness_cannot_start_with_is_named(
    options: WitnessOptions, tmp_path: Path, listen: str, text: str, match: str
) -> None:
    files = list(options.log_keys)
    if text:
        files = [tmp_path / "other.keys"]
        files[0].write_text(text)
    spoilt = WitnessOptions(folder=options.folder, listen=listen, log_keys=files)

    with pytest.raises((PreconditionError, InvalidArgumentError), match=match):
        running_witness(spoilt).__enter__()


def test_the_keys_of_a_witness_are_no_keys_of_a_log(
    options: WitnessOptions, tmp_path: Path
) -> None:
    file = tmp_path / "w.keys"
    file.write_text(read_cosigning_keys(options.folder).keys[0].text)
    spoilt = WitnessOptions(
        folder=options.folder, listen=options.listen, log_keys=[file]
    )

    with pytest.raises(PreconditionError, match="none of a log"):
        running_witness(spoilt).__enter__()

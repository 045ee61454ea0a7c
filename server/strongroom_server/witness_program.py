# SPDX-License-Identifier: Apache-2.0
"""The witness as a process: wires its folder, the logs that it knows, and HTTP.

It belongs to somebody else than the servers: another machine, another person, another
disk. It needs neither Vault, nor S3, nor any key of the store.
"""

import json
import logging
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from strongroom.errors import InvalidArgumentError, PreconditionError, Reason
from strongroom_server import process_memory
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.witness_files import (
    create_witness,
    open_witness_state,
    read_cosigning_keys,
)
from strongroom_server.core.signed_note import (
    LOG_ALGORITHMS,
    MAX_NOTE_BYTES,
    NoteKey,
    parse_note_key,
)
from strongroom_server.process_signals import stop_on_signals
from strongroom_server.rpc.witness_endpoint import serving_witness
from strongroom_server.services.witnessing import Witnessing
from strongroom_server.telemetry import log_to_stderr

_LOG: Final = logging.getLogger("strongroom_server.witness")


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessOptions:
    """How a witness is served.

    Attributes:
        folder: Its keys and its memory.
        listen: `host:port`; without TLS on loopback only.
        log_keys: Files with public keys of logs, one a line.
        tls_cert: A certificate chain; plain HTTP if None.
        tls_key: Its private key.
    """

    folder: Path
    listen: str
    log_keys: Sequence[Path]
    tls_cert: Path | None = None
    tls_key: Path | None = None


def create(folder: Path, name: str) -> str:
    """Make a witness's folder; return its public keys, one a line.

    Raises:
        InvalidArgumentError: The name cannot be one of a key.
        PreconditionError: The folder is there already, or cannot be made.
    """
    try:
        keys = create_witness(folder, name, entropy=SystemEntropy())
    except ValueError as error:
        raise InvalidArgumentError(
            f"a witness cannot be called {name[:80]!r}",
            hint="Take a name without spaces and plus signs: witness.example.org/w1.",
        ) from error
    return format_keys(keys)


def public_keys(folder: Path) -> str:
    """Return the public keys of a witness, one a line.

    Raises:
        PreconditionError: The folder cannot be used (SETTING_INVALID).
    """
    return format_keys(read_cosigning_keys(folder).keys)


def format_keys(keys: Sequence[NoteKey]) -> str:
    """Return keys as the files hold them that name them."""
    return "".join(f"{key.text}\n" for key in keys)


def serve(options: WitnessOptions) -> None:
    """Serve a witness until SIGTERM or SIGINT.

    Raises:
        StrongroomError: The folder, the keys or the address do not allow it.
    """
    process_memory.keep_private()
    log_to_stderr()
    stop = stop_on_signals()
    with running_witness(options) as port:
        _LOG.info("%s", json.dumps({"event": "witnessing", "port": port}))
        stop.wait()
        _LOG.info("%s", json.dumps({"event": "stopping"}))


@contextmanager
def running_witness(options: WitnessOptions) -> Iterator[int]:
    """Serve a witness for as long as the context lasts; yields the port.

    Raises:
        StrongroomError: The folder, the keys or the address do not allow it.
    """
    logs = read_log_keys(options.log_keys)
    tls = _tls(options)
    listen = _address(options.listen, is_secured=tls is not None)
    keys = read_cosigning_keys(options.folder)
    with open_witness_state(options.folder, keys.keys, list(logs)) as state:
        witnessing = Witnessing(logs, state=state, keys=keys, clock=SystemClock())
        with serving_witness(witnessing, listen, tls) as port:
            yield port


def read_log_keys(paths: Sequence[Path]) -> dict[str, list[NoteKey]]:
    """Return public keys of logs by the log's origin.

    Raises:
        PreconditionError: A file cannot be read, or there is no key (SETTING_INVALID).
        InvalidArgumentError: A line is no key of a log.
    """
    logs: dict[str, list[NoteKey]] = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                text = file.read(MAX_NOTE_BYTES).decode("utf-8", "replace")
        except OSError as error:
            raise _unusable(f"{path} cannot be read: {error.strerror}") from error
        for line in filter(str.strip, text.splitlines()):
            key = parse_note_key(line)
            if key.algorithm not in LOG_ALGORITHMS:
                raise _unusable(f"{path} holds a key that is none of a log")
            logs.setdefault(key.name, []).append(key)
    if not logs:
        raise _unusable("no public key of a log is named")
    return logs


def _tls(options: WitnessOptions) -> ssl.SSLContext | None:
    if options.tls_cert is None or options.tls_key is None:
        if options.tls_cert != options.tls_key:
            raise _unusable("--tls-cert and --tls-key belong together")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    except OSError as error:
        raise _unusable(f"{options.tls_cert} or its key cannot be used") from error
    return context


def _address(listen: str, *, is_secured: bool) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        address = ip_address(host)
        number = int(port)
    except ValueError as error:
        raise _unusable(f"{listen!r} is no address with a port") from error
    if not is_secured and not address.is_loopback:
        raise _unusable(f"without TLS it serves on loopback only, not at {listen}")
    return host, number


def _unusable(message: str) -> PreconditionError:
    return PreconditionError(
        f"the witness cannot start: {message}",
        reason=Reason.SETTING_INVALID,
        hint="See `A witness` in docs/operations.md.",
    )

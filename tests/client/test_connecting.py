# SPDX-License-Identifier: Apache-2.0
"""What a client says when it cannot connect, and connections that outlive things."""

import pickle
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom._channel.handshake import shake_hands
from strongroom._channel.own_certificate import read_own_certificate
from strongroom.client import Client
from strongroom.config import ClientSettings
from strongroom.errors import (
    InvalidArgumentError,
    Reason,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom_server.ports import IssuedCertificate
from tests.client.engine import Engine, write_settings
from tests.rpc.authority import DEVELOPER, READER, TRUST_DOMAIN, Authority


def failure(settings: ClientSettings) -> StrongroomError:
    """Return how a call with these settings fails."""
    with Client(settings) as client, pytest.raises(StrongroomError) as caught:
        client.server_info()
    return caught.value


def test_a_handshake_that_works_tells_both_sides(
    engine: Engine, settings: ClientSettings
) -> None:
    handshake = shake_hands(settings)
    own = read_own_certificate(settings)

    assert handshake.tls_version == "TLSv1.3"
    assert handshake.server.spiffe_ids == (settings.server_spiffe_id,)
    assert own.spiffe_ids == (DEVELOPER,)
    assert own.not_before < own.not_after


def test_an_expired_certificate_is_called_expired(
    engine: Engine, tmp_path: Path
) -> None:
    expired = engine.server.authority.issue(DEVELOPER, days=-1)

    error = failure(engine.settings(tmp_path, certificate=expired))

    assert isinstance(error, UnauthenticatedError)
    assert error.reason is Reason.CERTIFICATE_EXPIRED
    assert DEVELOPER in error.message
    assert error.hint
    assert len(error.trace_id) == 32


def test_a_certificate_of_another_authority_is_called_foreign(
    engine: Engine, tmp_path: Path
) -> None:
    foreign = Authority().issue(DEVELOPER)

    error = failure(engine.settings(tmp_path, certificate=foreign))

    assert isinstance(error, UnauthenticatedError)
    assert error.reason is Reason.CERTIFICATE_UNTRUSTED


def test_a_certificate_without_identity_is_the_servers_to_refuse(
    engine: Engine, tmp_path: Path
) -> None:
    nameless = engine.server.authority.issue()

    error = failure(engine.settings(tmp_path, certificate=nameless))

    assert isinstance(error, UnauthenticatedError)
    assert error.audit_id


@pytest.mark.parametrize("missing", ["tls.crt", "tls.key"])
def test_a_missing_file_is_named(
    settings: ClientSettings, tmp_path: Path, missing: str
) -> None:
    (tmp_path / "certificates" / missing).unlink()

    error = failure(settings)

    assert isinstance(error, UnauthenticatedError)
    assert error.reason is Reason.CERTIFICATE_MISSING
    assert missing in error.message


@pytest.mark.parametrize("broken", ["tls.crt", "tls.key"])
def test_a_file_without_pem_is_named(
    settings: ClientSettings, tmp_path: Path, broken: str
) -> None:
    (tmp_path / "certificates" / broken).write_text("nothing")

    error = failure(settings)

    assert isinstance(error, UnauthenticatedError)
    assert error.reason is Reason.CERTIFICATE_MISSING
    assert broken in error.message


def test_a_key_of_another_certificate_is_called_so(
    engine: Engine, settings: ClientSettings
) -> None:
    other = engine.server.authority.issue(DEVELOPER)
    settings.key_file.write_bytes(other.private_key_pem)

    error = failure(settings)

    assert error.reason is Reason.CERTIFICATE_MISSING
    assert "is not the key of" in error.message


def test_a_missing_authority_is_a_setting(settings: ClientSettings) -> None:
    settings.ca_file.unlink()

    error = failure(settings)

    assert isinstance(error, InvalidArgumentError)
    assert error.reason is Reason.SETTING_INVALID


def test_a_server_of_another_authority_is_refused_and_named(
    engine: Engine, settings: ClientSettings
) -> None:
    settings.ca_file.write_bytes(Authority().ca_pem)

    error = failure(settings)

    assert isinstance(error, UnauthenticatedError)
    assert error.reason is Reason.CERTIFICATE_UNTRUSTED
    assert "the certificate of the server" in error.message


@contextmanager
def listening(
    folder: Path, certificate: IssuedCertificate, newest: ssl.TLSVersion
) -> Iterator[str]:
    """Yield the endpoint of a TLS server that is no gRPC server."""
    (folder / "server.crt").write_bytes(certificate.chain_pem)
    (folder / "server.key").write_bytes(certificate.private_key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with suppress(OSError), plain:
                    context.wrap_socket(plain, server_side=True).recv(1)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


@pytest.mark.parametrize(
    ("names", "days", "newest", "reason"),
    [
        (["dns:elsewhere"], 1, ssl.TLSVersion.TLSv1_3, Reason.CERTIFICATE_UNTRUSTED),
        (["ip:127.0.0.1"], -1, ssl.TLSVersion.TLSv1_3, Reason.CERTIFICATE_EXPIRED),
        (["ip:127.0.0.1"], 1, ssl.TLSVersion.TLSv1_2, Reason.TRANSPORT),
    ],
    ids=["wrong name", "expired", "old protocol"],
)
def test_what_is_wrong_with_the_server_is_told(
    tmp_path: Path, names: list[str], days: int, newest: ssl.TLSVersion, reason: Reason
) -> None:
    authority = Authority()
    with listening(tmp_path, authority.issue(*names, days=days), newest) as endpoint:
        settings = write_settings(
            tmp_path / "client",
            endpoint=endpoint,
            ca_pem=authority.ca_pem,
            certificate=authority.issue(DEVELOPER),
        )
        with pytest.raises(StrongroomError) as caught:
            shake_hands(settings)

    assert caught.value.reason is reason
    assert endpoint in caught.value.message
    assert caught.value.hint


def test_nobody_at_the_endpoint_is_unavailable(settings: ClientSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    error = failure(replace(settings, endpoint=f"127.0.0.1:{port}"))

    assert isinstance(error, UnavailableError)
    assert error.reason is Reason.TRANSPORT
    assert f"127.0.0.1:{port} cannot be reached" in error.message


def test_a_name_that_does_not_resolve_is_unavailable(settings: ClientSettings) -> None:
    error = failure(replace(settings, endpoint="nowhere.invalid:1"))

    assert isinstance(error, UnavailableError)
    assert "nowhere.invalid:1 cannot be reached" in error.message


def test_a_port_that_speaks_something_else_is_told(
    engine: Engine, settings: ClientSettings
) -> None:
    plain = f"127.0.0.1:{engine.server.health_port}"

    error = failure(replace(settings, endpoint=plain))

    assert isinstance(error, UnavailableError)
    assert "not in TLS 1.3" in error.message


def test_a_renewed_certificate_is_used_by_the_next_call(
    engine: Engine, settings: ClientSettings, client: Client
) -> None:
    assert client.server_info().principal == DEVELOPER
    renewed = engine.server.authority.issue(READER)

    settings.cert_file.write_bytes(renewed.chain_pem)
    half_way = client.server_info().principal
    settings.key_file.write_bytes(renewed.private_key_pem)

    assert half_way == DEVELOPER, "a half-replaced pair must not break calls"
    assert client.server_info().principal == READER


def test_a_closed_client_says_so(client: Client) -> None:
    client.close()

    with pytest.raises(ValueError, match="the client is closed"):
        client.server_info()


def test_a_client_pickles_as_its_settings(client: Client) -> None:
    with pickle.loads(pickle.dumps(client)) as copy:  # noqa: S301 - our own bytes
        assert copy.settings == client.settings
        assert copy.server_info().principal == DEVELOPER


def test_a_client_without_a_call_has_no_connection(settings: ClientSettings) -> None:
    nowhere = replace(settings, endpoint="nowhere.invalid:1")

    with Client(nowhere) as client:
        assert repr(client) == "Client('nowhere.invalid:1')"


#: Run in a process of its own, so that the server's threads are not forked with it.
PARENT = """
import multiprocessing, sys, warnings
from pathlib import Path
from strongroom.client import Client
from strongroom.config import ClientSettings

def call(client, pipe):
    pipe.send(client.server_info().principal)

if __name__ == "__main__":
    method, endpoint, folder, principal = sys.argv[1:]
    folder = Path(folder)
    files = (folder / name for name in ("ca.crt", "tls.crt", "tls.key"))
    with Client(ClientSettings(endpoint, *files)) as client:
        assert client.server_info().principal == principal
        context = multiprocessing.get_context(method)
        for _ in range(3):
            ours, theirs = context.Pipe()
            child = context.Process(target=call, args=(client, theirs))
            child.start()
            assert ours.poll(30), "the child does not answer"
            assert ours.recv() == principal
            child.join(30)
            assert child.exitcode == 0
            assert client.server_info().principal == principal
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_process_makes_its_own_connection(
    settings: ClientSettings, tmp_path: Path, method: str
) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    folder = settings.ca_file.parent

    done = subprocess.run(
        [sys.executable, script, method, settings.endpoint, folder, DEVELOPER],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_one_of_two_spiffe_ids_is_none(engine: Engine, tmp_path: Path) -> None:
    both = engine.server.authority.issue(DEVELOPER, READER)

    error = failure(engine.settings(tmp_path, certificate=both))

    assert error.reason is Reason.IDENTITY_INVALID


def test_a_foreign_trust_domain_is_refused_by_the_server(
    engine: Engine, tmp_path: Path
) -> None:
    foreign = engine.server.authority.issue(DEVELOPER.replace(TRUST_DOMAIN, "other"))

    error = failure(engine.settings(tmp_path, certificate=foreign))

    assert error.reason is Reason.IDENTITY_INVALID

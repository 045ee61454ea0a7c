# SPDX-License-Identifier: Apache-2.0
"""S3 over TLS: an authority that is named, for the host that is asked."""

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.adapters.s3 import S3Settings, open_s3
from tests.contract.scripted_s3 import scripted_s3, stored
from tests.rpc.authority import Authority
from tests.support.clock import ManualClock

MIB = 2**20
SETTINGS = S3Settings(
    endpoint="",
    region="eu-west-1",
    bucket="models",
    access_key="AKIA",
    secret_key="secret",
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def ca_file(tmp_path: Path, authority: Authority) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.ca_pem)
    return path


def serving(
    folder: Path, authority: Authority, *, name: str = "ip:127.0.0.1"
) -> ssl.SSLContext:
    made = authority.issue(name)
    path = folder / "both.pem"
    path.write_bytes(made.private_key_pem + made.chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_a_store_of_this_authority_is_believed(
    tmp_path: Path, authority: Authority, ca_file: Path, clock: ManualClock
) -> None:
    with scripted_s3(serving(tmp_path, authority)) as server:
        server.answers += [stored("v1"), stored("v2")]
        settings = replace(SETTINGS, endpoint=server.endpoint, ca_file=str(ca_file))
        with open_s3(settings, clock) as store:
            assert store.put_new("a/1", bytes(MIB)) == "v1"
            assert store.put_new("a/2", b"x") == "v2"

        assert server.connection_count == 1
        assert server.bodies == [bytes(MIB), b"x"]


def test_another_authority_or_name_is_not(
    tmp_path: Path, authority: Authority, ca_file: Path, clock: ManualClock
) -> None:
    others = (
        serving(tmp_path, Authority()),
        serving(tmp_path, authority, name="dns:elsewhere.test"),
    )
    for tls in others:
        with scripted_s3(tls) as server:
            settings = replace(SETTINGS, endpoint=server.endpoint, ca_file=str(ca_file))
            with (
                open_s3(settings, clock) as store,
                pytest.raises(UnavailableError, match="CertVerification"),
            ):
                store.put_new("a/1", b"x")

            assert server.heads == []
    assert clock.sleeps == []


def test_a_file_of_the_machines_authorities_counts_for_nothing(
    tmp_path: Path,
    authority: Authority,
    ca_file: Path,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    with scripted_s3(serving(tmp_path, authority)) as server:
        settings = replace(SETTINGS, endpoint=server.endpoint)
        with open_s3(settings, clock) as store, pytest.raises(UnavailableError):
            store.put_new("a/1", b"x")

    assert not (tmp_path / "keys").exists()


def test_authorities_that_cannot_be_read_are_told_at_the_start(
    tmp_path: Path, clock: ManualClock
) -> None:
    settings = replace(
        SETTINGS, endpoint="https://127.0.0.1:1", ca_file=str(tmp_path / "none")
    )

    with pytest.raises(PreconditionError) as caught, open_s3(settings, clock):
        pass

    assert caught.value.reason is Reason.STORE_UNSUITABLE

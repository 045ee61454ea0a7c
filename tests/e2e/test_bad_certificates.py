# SPDX-License-Identifier: Apache-2.0
"""Callers without a good certificate, or without the right, are told so and no more."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.client_certificates import client_spiffe_id
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.openbao import OpenBao
from strongroom_server.dev.provisioning import (
    CLIENT_ROLE,
    CLIENTS_APPROLE,
    PKI_MOUNT,
    approle,
)
from tests.rpc.authority import Authority
from tests.support.cli import LiveStack
from tests.support.refusals import Asked, Refusal, check_all_refused, check_refused

pytestmark = pytest.mark.e2e

KNOWN = "bad-caller/known"
DEVELOPER = client_spiffe_id("developer")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    (folder / "file").write_bytes(b"content")
    return folder


@pytest.fixture(scope="module")
def known(stack: LiveStack, tree: Path) -> LiveStack:
    """The stack, with one artifact of one version."""
    stack.check("push", str(tree), KNOWN)
    return stack


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """Where no refused pull may leave anything."""
    folder = tmp_path / "target"
    folder.mkdir()
    yield folder / "out"
    assert list(folder.iterdir()) == []


class Wallet:
    """Certificates in files, as a client names them by environment variables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cert = folder / "tls.crt"
        self.key = folder / "tls.key"
        self.ca = folder / "ca.crt"

    def fill(self, cert: bytes, key: bytes, ca: bytes) -> None:
        """Write all three files."""
        for path, data in ((self.cert, cert), (self.key, key), (self.ca, ca)):
            path.write_bytes(data)
            path.chmod(0o600)

    @property
    def own(self) -> dict[str, str]:
        """Settings that show this certificate."""
        return {
            "STRONGROOM_CERT_FILE": str(self.cert),
            "STRONGROOM_KEY_FILE": str(self.key),
        }


@pytest.fixture
def wallet(tmp_path: Path) -> Wallet:
    folder = tmp_path / "wallet"
    folder.mkdir()
    return Wallet(folder)


def check_nobody(
    stack: LiveStack,
    refusal: Refusal,
    environ: dict[str, str],
    tree: Path,
    target: Path,
) -> None:
    """Check that a caller can neither read nor write."""
    asked = [
        Asked(("pull", KNOWN, str(target)), environ),
        Asked(("push", str(tree), "bad-caller/new"), environ),
    ]
    check_all_refused(stack, refusal, asked)


def fill_from_vault(wallet: Wallet, stack: LiveStack, **request: str) -> datetime:
    """Let the stack's own authority issue a client certificate; return its end."""
    layout = StackLayout(stack.root)
    bao = OpenBao(layout, AddressBook(layout.addresses))
    issuer = approle(layout, CLIENTS_APPROLE).log_in(bao.client())
    issued = issuer.write_for_data(f"{PKI_MOUNT}/issue/{CLIENT_ROLE}", request)
    cert = f"{issued['certificate']}\n{issued['issuing_ca']}\n".encode()
    wallet.fill(cert, str(issued["private_key"]).encode(), cert)
    return x509.load_pem_x509_certificate(cert).not_valid_after_utc


def test_an_expired_certificate_is_named_with_its_dates(
    known: LiveStack, tree: Path, target: Path, wallet: Wallet
) -> None:
    end = fill_from_vault(wallet, known, uri_sans=DEVELOPER, ttl="1s")
    while datetime.now(UTC) <= end:
        time.sleep(0.1)
    refusal = Refusal(12, "CERTIFICATE_EXPIRED", [DEVELOPER, f"{end:%Y-%m-%dT%H:%MZ}"])

    check_nobody(known, refusal, wallet.own, tree, target)


def test_a_certificate_of_another_authority_is_not_trusted(
    known: LiveStack, tree: Path, target: Path, wallet: Wallet
) -> None:
    foreign = Authority().issue(DEVELOPER)
    wallet.fill(foreign.chain_pem, foreign.private_key_pem, foreign.ca_pem)
    refusal = Refusal(12, "CERTIFICATE_UNTRUSTED", [DEVELOPER, "another authority"])

    check_nobody(known, refusal, wallet.own, tree, target)


def test_a_server_of_another_authority_is_not_trusted(
    known: LiveStack, tree: Path, target: Path, wallet: Wallet
) -> None:
    wallet.fill(b"", b"", Authority().ca_pem)
    refusal = Refusal(12, "CERTIFICATE_UNTRUSTED", ["certificate of the server"])
    environ = {"STRONGROOM_CA_FILE": str(wallet.ca)}

    check_nobody(known, refusal, environ, tree, target)


def test_a_certificate_without_a_spiffe_id_is_nobody(
    known: LiveStack, tree: Path, target: Path, wallet: Wallet
) -> None:
    fill_from_vault(wallet, known)
    refusal = Refusal(12, "IDENTITY_INVALID", ["exactly one SPIFFE id"])

    check_nobody(known, refusal, wallet.own, tree, target)


BAD_FILES = [
    ("STRONGROOM_CERT_FILE", b"", Refusal(12, "CERTIFICATE_MISSING", traced=False)),
    ("STRONGROOM_KEY_FILE", b"", Refusal(12, "CERTIFICATE_MISSING", traced=False)),
    ("STRONGROOM_CA_FILE", b"", Refusal(2, "SETTING_INVALID", traced=False)),
    ("STRONGROOM_CONFIG", b"", Refusal(10, "PATH_NOT_FOUND", traced=False)),
    (
        "STRONGROOM_CERT_FILE",
        b"x",
        Refusal(12, "CERTIFICATE_MISSING", traced=False),
    ),
    ("STRONGROOM_CA_FILE", b"?", Refusal(2, "SETTING_INVALID", traced=False)),
    ("STRONGROOM_CONFIG", b"?", Refusal(2, "SETTING_INVALID", traced=False)),
]


@pytest.mark.parametrize(("setting", "content", "refusal"), BAD_FILES)
def test_a_file_that_is_missing_or_broken_is_named(
    known: LiveStack, wallet: Wallet, setting: str, content: bytes, refusal: Refusal
) -> None:
    path = wallet.folder / "file"
    if content:
        path.write_bytes(content)

    record = check_refused(known, refusal, "ls", environ={setting: str(path)})

    assert str(path) in record["message"]


def test_a_key_of_another_certificate_is_named(
    known: LiveStack, wallet: Wallet
) -> None:
    wallet.key.write_bytes(Authority().issue(DEVELOPER).private_key_pem)
    refusal = Refusal(12, "CERTIFICATE_MISSING", [str(wallet.key)], traced=False)
    environ = {"STRONGROOM_KEY_FILE": str(wallet.key)}

    check_refused(known, refusal, "ls", environ=environ)


@pytest.mark.parametrize(
    ("part", "says"), [("", "cannot be reached"), ("store-s3", "not in TLS 1.3")]
)
def test_an_endpoint_that_is_no_server_is_said_to_be_none(
    known: LiveStack, tree: Path, target: Path, part: str, says: str
) -> None:
    # Port 1 is of nobody; that of S3 speaks HTTP.
    port = known.processes()[part]["port"] if part else 1
    environ = {"STRONGROOM_ENDPOINT": f"127.0.0.1:{port}"}

    check_nobody(known, Refusal(17, "TRANSPORT", [says]), environ, tree, target)


def test_a_reader_is_denied_alike_whether_or_not_the_artifact_exists(
    known: LiveStack, tree: Path
) -> None:
    environ = {"STRONGROOM_CONFIG": str(known.root / "client/reader/client.toml")}
    before = known.check("log", KNOWN, "--json").out
    for command in (["push", str(tree), "{}"], ["ref", "move", "{}", "prod", "1"]):
        seen = []
        for artifact in (KNOWN, "bad-caller/none", "no-such/none"):
            project, name = artifact.split("/")
            refused = check_refused(
                known,
                Refusal(12, "ACTION_NOT_ALLOWED", ["denied", "might not exist"]),
                *(word.format(artifact) for word in command),
                environ=environ,
            )
            # The caller's own, made anew for each push.
            refused["metadata"].pop("upload_id", None)
            said = json.dumps(
                [refused[key] for key in ("message", "hint", "metadata")],
                sort_keys=True,
            )
            said = said.replace(f"projects/{project}/", "projects/P/")
            seen.append(said.replace(f"artifacts/{name}", "artifacts/A"))

        assert len(set(seen)) == 1, seen
    assert known.check("log", KNOWN, "--json").out == before
    # A reader reads, and is told the truth about what it may read.
    known.check("cat", f"{KNOWN}/file", environ=environ)
    check_refused(
        known, Refusal(10, "ARTIFACT_NOT_FOUND"), "show", "bad-caller/none",
        environ=environ,
    )  # fmt: skip


def test_nothing_of_the_refused_was_stored(known: LiveStack) -> None:
    listed = known.check("ls", "bad-caller", "--json").lines

    assert [line["name"] for line in listed] == [KNOWN]

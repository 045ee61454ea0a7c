# SPDX-License-Identifier: Apache-2.0
"""The server's certificate from files that somebody else renews."""

from pathlib import Path

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.certificate_files import CertificateFiles
from tests.rpc.authority import SERVER, Authority


class Folder:
    """Three files and the adapter that reads them."""

    def __init__(self, path: Path) -> None:
        self.cert, self.key, self.ca = path / "tls.crt", path / "tls.key", path / "ca"
        self.files = CertificateFiles(
            cert_file=self.cert, key_file=self.key, ca_file=self.ca
        )

    def write(self, authority: Authority) -> None:
        issued = authority.issue(SERVER)
        self.cert.write_bytes(issued.chain_pem)
        self.key.write_bytes(issued.private_key_pem)
        self.ca.write_bytes(issued.ca_pem)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.write(Authority())
    return folder


def test_the_files_are_read_anew_each_time(folder: Folder) -> None:
    first = folder.files.issue()
    folder.write(Authority())
    second = folder.files.issue()

    assert first.chain_pem != second.chain_pem
    assert second.chain_pem == folder.cert.read_bytes()
    assert second.ca_pem == folder.ca.read_bytes()


def test_a_key_of_another_certificate_is_refused(folder: Folder) -> None:
    folder.key.write_bytes(Authority().issue(SERVER).private_key_pem)

    with pytest.raises(PreconditionError, match="is not the key of"):
        folder.files.issue()


@pytest.mark.parametrize("name", ["cert", "key", "ca"])
@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_file_that_is_no_pem_is_refused_without_its_content(
    folder: Folder, name: str, content: bytes | None
) -> None:
    path: Path = getattr(folder, name)
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(PreconditionError) as caught:
        folder.files.issue()

    assert caught.value.reason is Reason.SETTING_INVALID
    assert "nonsense" not in str(caught.value)

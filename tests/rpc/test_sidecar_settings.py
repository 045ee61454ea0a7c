# SPDX-License-Identifier: Apache-2.0
"""A sidecar's settings: what it needs, what cannot be, and that no credential fits."""

from pathlib import Path

import pytest

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.config import read_sidecar_settings

FILES = """
cert_file = "/c/tls.crt"
key_file = "/c/tls.key"
ca_file = "/c/ca.crt"
"""
GOOD = f"""
[central]
endpoint = "central.example.org:7443"
[identity]
{FILES}
[listen]
socket = "/run/strongroom/strongroom.sock"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "sidecar.toml"
    path.write_text(text)
    return path


def test_little_has_to_be_said(tmp_path: Path) -> None:
    settings = read_sidecar_settings(write(tmp_path, GOOD))

    assert settings.central.endpoint == "central.example.org:7443"
    assert settings.socket_mode == 0o600
    assert settings.cache.path is None


def test_the_environment_counts_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRONGROOM__LISTEN__MODE", "0660")
    monkeypatch.setenv("STRONGROOM__CACHE__MAX_BYTES", "1000")

    settings = read_sidecar_settings(write(tmp_path, GOOD))

    assert settings.socket_mode == 0o660
    assert settings.cache.max_bytes == 1000


def test_an_agent_may_give_the_certificate(tmp_path: Path) -> None:
    agent = """
workload_socket = "unix:///run/spire/agent.sock"
spiffe_id = "spiffe://example.org/ns/a/sa/b/job/c"
trust_domain = "example.org"
"""
    settings = read_sidecar_settings(write(tmp_path, GOOD.replace(FILES, agent)))

    assert settings.identity.trust_domain == "example.org"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("central.example.org:7443", "https://central.example.org"),
        ("central.example.org:7443", "central"),
        (FILES, ""),
        ('ca_file = "/c/ca.crt"', ""),
        (FILES, f'{FILES}workload_socket = "unix:///a"'),
        (FILES, 'workload_socket = "unix:///a"'),
        ('"/run/strongroom/strongroom.sock"', '"strongroom.sock"'),
        ("[listen]", '[listen]\nmode = "rw"'),
        ("[listen]", '[listen]\nmode = "0999"'),
        ("[listen]", "[listen]\nmax_calls = 0"),
        ("[listen]", "[memory]\nmax_bytes = 1000\n[listen]"),
        ("[listen]", "[workers]\nthreads = 0\n[listen]"),
        ("[listen]", '[shared_memory]\nuids = ["root"]\n[listen]'),
        # There is no place for a credential of the store, or of Vault.
        ("[listen]", '[store]\ncredentials_file = "/s3.json"\n[listen]'),
        ("[listen]", '[vault]\naddress = "https://vault"\n[listen]'),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, before: str, after: str) -> None:
    assert before in GOOD

    with pytest.raises(InvalidArgumentError) as error:
        read_sidecar_settings(write(tmp_path, GOOD.replace(before, after)))

    assert error.value.reason is Reason.SETTING_INVALID

# SPDX-License-Identifier: Apache-2.0
"""Where settings come from, in which order, and which are refused."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from strongroom.config import NO_FILE, load_settings
from strongroom.errors import InvalidArgumentError, NotFoundError, Reason

TOML = """
endpoint = "file:1"
ca_file = "ca.crt"
cert_file = "/abs/tls.crt"
key_file = "tls.key"
spans_file = "spans.jsonl"
stall_timeout_s = 5
"""
VARIABLES: Mapping[str, str] = {
    "STRONGROOM_ENDPOINT": "env:2",
    "STRONGROOM_CA_FILE": "ca",
    "STRONGROOM_CERT_FILE": "cert",
    "STRONGROOM_KEY_FILE": "key",
}


def write_nearest(folder: Path, text: str = TOML) -> Path:
    path = folder / ".strongroom/client.toml"
    path.parent.mkdir(mode=0o700, parents=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def refusal(folder: Path, environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        load_settings(environ=environ or {}, directory=folder)
    assert caught.value.reason is Reason.SETTING_INVALID
    assert caught.value.hint
    return caught.value.message


def test_the_nearest_file_above_says_everything(tmp_path: Path) -> None:
    path = write_nearest(tmp_path)
    below = tmp_path / "a/b"
    below.mkdir(parents=True)

    settings = load_settings(environ={}, directory=below)

    assert settings.source == path
    assert (settings.host, settings.port) == ("file", 1)
    assert settings.ca_file == path.parent / "ca.crt", "relative to its file"
    assert settings.cert_file == Path("/abs/tls.crt")
    assert settings.stall_timeout_s == 5.0


def test_arguments_win_over_variables_and_variables_over_the_file(
    tmp_path: Path,
) -> None:
    write_nearest(tmp_path)
    environ = {
        "STRONGROOM_ENDPOINT": "env:2",
        "STRONGROOM_CERT_FILE": "cert",
    }

    settings = load_settings(endpoint="arg:3", environ=environ, directory=tmp_path)

    assert settings.endpoint == "arg:3"
    assert settings.cert_file == tmp_path / "cert", "relative to where one stands"
    assert settings.key_file == tmp_path / ".strongroom/tls.key"


def test_a_named_file_wins_over_the_nearest(tmp_path: Path) -> None:
    write_nearest(tmp_path)
    named = tmp_path / "named.toml"
    named.write_text(TOML.replace("file:1", "named:4"))
    environ = {"STRONGROOM_CONFIG": str(named)}

    settings = load_settings(environ=environ, directory=tmp_path)

    assert settings.endpoint == "named:4"


def test_a_complete_environment_needs_no_file(tmp_path: Path) -> None:
    write_nearest(tmp_path, "this is not TOML")

    settings = load_settings(environ=VARIABLES, directory=tmp_path)

    assert settings.endpoint == "env:2"
    assert settings.source is None


def test_nothing_at_all_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        load_settings(environ={}, directory=tmp_path)

    assert "strongroom dev up" in caught.value.hint
    assert "STRONGROOM_ENDPOINT" in caught.value.message


def test_what_one_file_leaves_open_is_named(tmp_path: Path) -> None:
    write_nearest(tmp_path, 'endpoint = "a:1"\n')

    assert "no setting ca_file, cert_file, key_file" in refusal(tmp_path)


def test_a_file_that_does_not_exist_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_settings(config_file=tmp_path / "absent", environ={}, directory=tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (TOML + "secret = 1\n", "setting secret is not known"),
        (TOML + "endpoint = 1\n", "is not TOML"),
        ("\x00", "is not TOML"),
        (TOML.replace("= 5", '= "5"'), "not a number of seconds"),
        (TOML.replace("= 5", "= -1"), "not a number of seconds"),
        (TOML.replace("= 5", "= true"), "not a number of seconds"),
        (TOML.replace("file:1", "file"), "not host:port"),
        (TOML.replace("file:1", "file:x"), "not host:port"),
        (TOML.replace("file:1", "file:0"), "not host:port"),
        (TOML.replace("file:1", "::1:80"), "not host:port"),
        (TOML.replace("file:1", "a\\nb:1"), "is not a line of text"),
        ("#" * 70_000, "is larger than"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(
    tmp_path: Path, change: str, said: str
) -> None:
    path = write_nearest(tmp_path, change)

    message = refusal(tmp_path)

    assert said in message
    assert str(path) in message


def test_ipv6_stands_in_brackets(tmp_path: Path) -> None:
    environ = {**VARIABLES, "STRONGROOM_ENDPOINT": "[::1]:80"}

    settings = load_settings(environ=environ, directory=tmp_path)

    assert (settings.host, settings.port) == ("::1", 80)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_read(tmp_path: Path, mode: int) -> None:
    path = write_nearest(tmp_path)
    path.chmod(mode)

    assert "may be written by others" in refusal(tmp_path)


def test_a_folder_that_others_may_write_is_not_read(tmp_path: Path) -> None:
    path = write_nearest(tmp_path)
    path.parent.chmod(0o777)

    assert "may be written by others" in refusal(tmp_path)


def test_a_file_of_another_user_is_not_read(tmp_path: Path) -> None:
    path = write_nearest(tmp_path)
    try:
        os.chown(path, 12345, 12345)
    except PermissionError:
        pytest.skip("only root gives files away")

    assert "belongs to user 12345" in refusal(tmp_path)


def test_a_link_of_another_user_is_not_followed(tmp_path: Path) -> None:
    real = write_nearest(tmp_path / "real")
    link = tmp_path / ".strongroom"
    link.symlink_to(real.parent)
    try:
        os.lchown(link, 12345, 12345)
    except PermissionError:
        pytest.skip("only root gives links away")

    assert "belongs to user 12345" in refusal(tmp_path)


AGENT = "unix:///run/spire/agent.sock"


def test_an_agent_gives_the_certificate_where_no_file_is_named(tmp_path: Path) -> None:
    environ = {"STRONGROOM_ENDPOINT": "host:1", "SPIFFE_ENDPOINT_SOCKET": AGENT}

    settings = load_settings(environ=environ, directory=tmp_path)

    assert settings.workload_socket == AGENT
    assert settings.cert_file == settings.ca_file == NO_FILE


def test_files_that_are_named_count_in_place_of_the_platforms_agent(
    tmp_path: Path,
) -> None:
    write_nearest(tmp_path)

    settings = load_settings(
        environ={"SPIFFE_ENDPOINT_SOCKET": AGENT}, directory=tmp_path
    )

    assert settings.workload_socket == ""
    assert settings.cert_file == Path("/abs/tls.crt")


def test_an_agent_in_the_configuration_and_files_exclude_each_other(
    tmp_path: Path,
) -> None:
    text = f'endpoint = "host:1"\nworkload_socket = "{AGENT}"\n'
    path = write_nearest(tmp_path, text)
    environ = {"SPIFFE_ENDPOINT_SOCKET": "unix:///other"}
    assert load_settings(environ=environ, directory=tmp_path).workload_socket == AGENT

    path.write_text(text + 'cert_file = "tls.crt"\n')
    assert "cert_file exclude each other" in refusal(tmp_path)
    path.write_text('endpoint = "host:1"\nworkload_socket = "/run/agent.sock"\n')
    assert "not unix:///PATH" in refusal(tmp_path)


LOGIN = TOML + 'login_issuer = "https://id.example/realm"\nlogin_client_id = "us"\n'


def test_logins_are_kept_where_programs_keep_their_state(tmp_path: Path) -> None:
    write_nearest(tmp_path, LOGIN)
    for environ, folder in (
        ({"XDG_STATE_HOME": "/state"}, Path("/state/strongroom/logins")),
        ({}, Path.home() / ".local/state/strongroom/logins"),
        ({"XDG_STATE_HOME": "no"}, Path.home() / ".local/state/strongroom/logins"),
    ):
        settings = load_settings(environ=environ, directory=tmp_path)
        assert settings.login_folder == folder
        assert settings.login_scopes == "openid profile"


def test_logins_are_kept_where_the_file_says(tmp_path: Path) -> None:
    path = write_nearest(
        tmp_path, LOGIN + 'login_folder = "logins"\nlogin_ca_file = "id.crt"\n'
    )

    settings = load_settings(environ={}, directory=tmp_path)

    assert settings.login_folder == path.parent / "logins"
    assert settings.login_ca_file == path.parent / "id.crt"


def test_without_a_provider_there_is_no_place_for_logins(tmp_path: Path) -> None:
    write_nearest(tmp_path)

    assert load_settings(environ={}, directory=tmp_path).login_folder == NO_FILE


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('login_issuer = "http://id.example"\nlogin_client_id = "us"\n', "https://"),
        ('store_id = "mine"\n', "32 small hex digits"),
        (f'store_id = "{"AB" * 16}"\n', "32 small hex digits"),
        ('login_issuer = "https:///x"\nlogin_client_id = "us"\n', "https://"),
        ('login_issuer = "https://h/x?y=z"\nlogin_client_id = "us"\n', "https://"),
        ('login_issuer = "https://id.example"\n', "login_client_id is missing"),
        ('login_issuer = 1\nlogin_client_id = "us"\n', "login_issuer"),
    ],
)
def test_a_provider_is_named_by_https_and_a_store_by_its_id(
    tmp_path: Path, lines: str, told: str
) -> None:
    write_nearest(tmp_path, TOML + lines)

    assert told in refusal(tmp_path)

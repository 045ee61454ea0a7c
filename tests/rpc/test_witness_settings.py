# SPDX-License-Identifier: Apache-2.0
"""Witnesses in the settings: a list of tables, checked before anything is asked."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.errors import InvalidArgumentError, PreconditionError
from strongroom_server.__main__ import main
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_checkpoints import MemoryCheckpointSigner
from strongroom_server.adapters.memory_witness import MemoryCosigningKeys
from strongroom_server.config import ServerSettings, format_settings, read_settings
from strongroom_server.opening_audit import (
    open_witnesses,
    read_witness_keys,
    transit_mount,
)
from strongroom_server.witness_program import WitnessOptions, running_witness
from tests.rpc.programs import write_settings

URL = "https://witness.example.org:7540"


def keys_of(name: str) -> str:
    keys = MemoryCosigningKeys(name, entropy=SystemEntropy()).keys
    return "".join(f"{key.text}\n" for key in keys)


def read(folder: Path, *sections: str) -> ServerSettings:
    path = write_settings(folder)
    text = "".join(f"\n[[witnesses]]\n{section}\n" for section in sections)
    path.write_text(path.read_text() + text)
    return read_settings(path)


def section(folder: Path, name: str, url: str = URL) -> str:
    path = folder / f"{name}.keys"
    path.write_text(keys_of(f"witness.test/{name}"))
    return f'url = "{url}"\nkeys_file = "{path}"'


def test_witnesses_are_a_list_and_shown_as_understood(tmp_path: Path) -> None:
    settings = read(tmp_path, section(tmp_path, "w1"), section(tmp_path, "w2"))

    shown = tomllib.loads(format_settings(settings))
    assert [item["url"] for item in shown["witnesses"]] == [URL, URL]
    found = open_witnesses(settings)
    assert [item.name for item in found] == ["witness.test/w1", "witness.test/w2"]


@pytest.mark.parametrize(
    "text",
    [
        'url = "http://witness.example.org"\nkeys_file = "k"',
        'url = "witness.example.org"\nkeys_file = "k"',
        'url = "https://witness.example.org"',
        'keys_file = "k"',
        'url = "https://witness.example.org"\nkeys_file = "k"\nmore = 1',
    ],
)
def test_witnesses_that_cannot_be_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        read(tmp_path, text)


def test_two_witnesses_of_one_name_are_refused(tmp_path: Path) -> None:
    one = section(tmp_path, "w1")
    settings = read(tmp_path, one, one)

    with pytest.raises(PreconditionError, match="of one name"):
        open_witnesses(settings)


def test_files_that_hold_no_witnesss_keys_are_named(tmp_path: Path) -> None:
    log = MemoryCheckpointSigner(entropy=SystemEntropy()).keys("strongroom/00/main")
    path = tmp_path / "keys"
    with pytest.raises(PreconditionError, match="cannot be read"):
        read_witness_keys(path)
    for text in ("", keys_of("a") + keys_of("b"), log[0].text):
        path.write_text(text)
        with pytest.raises(PreconditionError, match="keys of one witness"):
            read_witness_keys(path)
    path.write_text("nonsense")
    with pytest.raises(InvalidArgumentError, match="no public key"):
        read_witness_keys(path)


# The command line ------------------------------------------------------------------


def test_a_witness_is_made_once_and_tells_its_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--folder", str(tmp_path / "w")]

    assert main(["witness", "init", *folder, "--name", "witness.test/w1"]) == 0
    made = capsys.readouterr().out
    assert main(["witness", "keys", *folder]) == 0
    assert capsys.readouterr().out == made
    (tmp_path / "keys").write_text(made)
    assert {key.name for key in read_witness_keys(tmp_path / "keys")} == {
        "witness.test/w1"
    }
    assert main(["witness", "init", *folder, "--name", "witness.test/w1"]) == 16
    assert "TARGET_EXISTS" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a name", "a+b", "", "é"])
def test_a_witness_is_not_called_anything(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["witness", "init", "--folder", str(tmp_path / "w"), "--name", name])

    assert code == 2
    assert "cannot be called" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def test_a_witness_without_a_folder_or_keys_does_not_start(tmp_path: Path) -> None:
    keys = tmp_path / "log.keys"
    log = MemoryCheckpointSigner(entropy=SystemEntropy()).keys("strongroom/00/main")
    options = WitnessOptions(
        folder=tmp_path / "w", listen="127.0.0.1:0", log_keys=[keys]
    )

    with pytest.raises(PreconditionError, match=r"log\.keys cannot be read"):
        running_witness(options).__enter__()
    keys.write_text("".join(f"{key.text}\n" for key in log))
    with pytest.raises(PreconditionError, match="No such file"):
        running_witness(options).__enter__()
    half = replace(options, tls_cert=keys)
    with pytest.raises(PreconditionError, match="belong together"):
        running_witness(half).__enter__()
    none = replace(half, tls_key=keys)
    with pytest.raises(PreconditionError, match="or its key cannot be used"):
        running_witness(none).__enter__()


def test_an_auditor_finds_the_keys_where_the_settings_say(tmp_path: Path) -> None:
    path = write_settings(tmp_path)
    assert transit_mount(path) == "transit"

    text = path.read_text().replace("[vault]", '[vault]\ntransit_mount = "kms/keys"')
    path.write_text(text)

    assert transit_mount(path) == "kms/keys"

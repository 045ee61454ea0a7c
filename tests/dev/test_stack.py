# SPDX-License-Identifier: Apache-2.0
"""A stack's life: up, twice, down, broken, mended, beside another one."""

import base64
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from strongroom.errors import PreconditionError, UnavailableError
from strongroom_server.dev.addresses import HOST, AddressBook
from strongroom_server.dev.private_files import read_record
from strongroom_server.dev.provisioning import (
    PROVISIONER_APPROLE,
    SERVER_APPROLE,
    approle,
)
from strongroom_server.dev.seaweed import BUCKET, TENANT
from strongroom_server.dev.stack import Stack, is_healthy
from tests.contract.key_service_suite import CONTEXT
from tests.dev.stacks import (
    COMPONENTS,
    bring_up,
    parts,
    pids,
    processes_that_mention,
    stack_in,
)

AES = {"type": "aes256-gcm96", "derived": True}
UP = f"""
import sys
from pathlib import Path
from strongroom_server.dev.stack import Stack
Stack(Path(sys.argv[1]), components={COMPONENTS!r}).up(lambda line: None)
"""

pytestmark = pytest.mark.e2e


def test_up_again_changes_nothing(stack: Stack) -> None:
    before = pids(stack)

    lines = bring_up(stack)

    assert [line.split(" on ")[0] for line in lines] == [
        "vault: already running",
        "store: already running",
    ]
    assert pids(stack) == before


def test_status_has_a_line_for_each_process(stack: Stack) -> None:
    processes = stack.status()

    assert [process.name for process in processes] == [
        *("vault", "store-master", "store-volume", "store-filer", "store-s3"),
    ]
    assert all(process.port >= 20000 for process in processes)
    assert all((process.age_s or 0) >= 0 for process in processes)
    assert all(Path(process.log).is_file() for process in processes)


def test_down_and_up_keep_what_was_stored(stack: Stack) -> None:
    bao, weed = parts(stack)
    server = approle(stack.layout, SERVER_APPROLE)
    client = server.log_in(bao.client())
    client.write("transit/keys/sr.kept.kept", AES)
    context = {"context": base64.b64encode(CONTEXT).decode()}
    wrapped = client.write_for_data("transit/datakey/plaintext/sr.kept.kept", context)
    s3 = weed.client(TENANT)
    version = s3.put_object(Bucket=BUCKET, Key="kept", Body=b"x" * 5_000_000)
    certificate = (stack.layout.client("developer") / "tls.crt").read_bytes()

    # At once, so that nothing can have been written out in the meantime.
    stopped = stack.down(lambda _line: None)
    assert stopped == [
        "store-s3",
        "store-filer",
        "store-volume",
        "store-master",
        "vault",
    ]
    assert processes_that_mention(stack.layout.root) == []
    assert stack.down(lambda _line: None) == []
    bring_up(stack)

    place = {"Bucket": BUCKET, "Key": "kept", "VersionId": version["VersionId"]}
    assert s3.get_object(**place)["Body"].read() == b"x" * 5_000_000
    s3.close()
    client = server.log_in(parts(stack)[0].client())
    body = {"ciphertext": wrapped["ciphertext"], **context}
    opened = client.write_for_data("transit/decrypt/sr.kept.kept", body)
    assert opened["plaintext"] == wrapped["plaintext"]
    assert (stack.layout.client("developer") / "tls.crt").read_bytes() == certificate


@pytest.mark.parametrize(
    "name", ["vault", "store-master", "store-volume", "store-filer", "store-s3"]
)
def test_up_mends_a_process_that_was_killed(stack: Stack, name: str) -> None:
    before = pids(stack)
    os.kill(before[name] or 0, signal.SIGKILL)
    while pids(stack)[name] is not None:
        time.sleep(0.01)
    assert not is_healthy(stack.status())

    bring_up(stack)

    after = pids(stack)
    assert after[name] != before[name]
    if name != "vault":
        assert after["vault"] == before["vault"]


def test_up_unseals(stack: Stack) -> None:
    bao, _ = parts(stack)
    provisioner = approle(stack.layout, PROVISIONER_APPROLE).log_in(bao.client())
    root = bao.client(bao.make_root_token(provisioner))
    root.write("sys/seal")
    assert next(process.health for process in stack.status()) != "ok"

    bring_up(stack)

    root.write("auth/token/revoke-self")


def test_a_port_that_was_taken_is_replaced(stack: Stack) -> None:
    stack.down(lambda _line: None)
    taken = AddressBook(stack.layout.addresses).port("vault")

    with socket.create_server((HOST, taken)):
        bring_up(stack)

    assert AddressBook(stack.layout.addresses).port("vault") != taken


def test_two_ups_at_once_start_one_stack(stack: Stack) -> None:
    stack.down(lambda _line: None)
    with contextlib.ExitStack() as open_processes:
        commands = [
            open_processes.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", UP, str(stack.layout.root)],
                    stderr=subprocess.PIPE,
                )
            )
            for _ in range(2)
        ]
        assert [command.wait(60) for command in commands] == [0, 0]

    running = sorted(pid for pid in pids(stack).values() if pid is not None)
    assert sorted(processes_that_mention(stack.layout.root)) == running
    assert is_healthy(stack.status())


def test_what_cannot_start_is_an_error_and_the_rest_runs_on(stack: Stack) -> None:
    before = pids(stack)
    os.kill(before["vault"] or 0, signal.SIGKILL)
    data = stack.layout.vault / "data" / "vault.db"
    hidden = data.with_suffix(".hidden")
    while pids(stack)["vault"] is not None:
        time.sleep(0.01)
    data.rename(hidden)
    data.write_bytes(b"no database" * 1000)

    with pytest.raises(UnavailableError, match="vault ended while it was") as caught:
        stack.up(lambda _line: None)

    assert "\n  | " in caught.value.message
    assert str(stack.layout.root / "logs" / "vault.log") in caught.value.hint
    assert pids(stack) == {**before, "vault": None}
    hidden.replace(data)
    bring_up(stack)


def test_two_stacks_live_side_by_side(stack: Stack, tmp_path: Path) -> None:
    with stack_in(tmp_path / "other") as other:
        bring_up(other)

        assert is_healthy(stack.status())
        ports = [
            set(read_record(each.layout.addresses)["ports"].values())  # type: ignore[attr-defined]
            for each in (stack, other)
        ]
        assert not ports[0] & ports[1]
        other.down(lambda _line: None)
        assert is_healthy(stack.status())
        assert processes_that_mention(other.layout.root) == []


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.2, 1.0, 1.8])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_up_can_be_repeated(
    tmp_path: Path, delay_s: float, number: signal.Signals
) -> None:
    root = tmp_path / "stack"
    with stack_in(root) as stack:
        with subprocess.Popen(
            [sys.executable, "-c", UP, str(root)], stderr=subprocess.DEVNULL
        ) as command:
            deadline = time.monotonic() + 10
            while not root.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(delay_s)
            command.send_signal(number)
            done = command.wait(60) == 0

        if number == signal.SIGINT and not done:
            assert processes_that_mention(root) == []
        bring_up(stack)

        running = sorted(pid for pid in pids(stack).values() if pid is not None)
        assert sorted(processes_that_mention(root)) == running


def test_an_up_without_the_unseal_key_says_so(tmp_path: Path) -> None:
    with stack_in(tmp_path / "stack") as stack:
        bring_up(stack)
        stack.down(lambda _line: None)
        stack.layout.unseal_record.rename(tmp_path / "unseal.json")

        with pytest.raises(PreconditionError, match=r"unseal\.json cannot be read"):
            stack.up(lambda _line: None)

        assert processes_that_mention(stack.layout.root) == []
        (tmp_path / "unseal.json").rename(stack.layout.unseal_record)
        bring_up(stack)


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x", "utf-8")

    with pytest.raises(PreconditionError, match=r"thesis\.tex, but no stack"):
        Stack(tmp_path, components=COMPONENTS).up(lambda _line: None)
    with pytest.raises(PreconditionError, match="is not a folder"):
        Stack(tmp_path / "thesis.tex", components=COMPONENTS).up(lambda _line: None)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_down_and_status_of_nothing_write_nothing(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "nothing", components=COMPONENTS)

    assert stack.down(lambda _line: None) == []
    assert {process.health for process in stack.status()} == {"down"}
    assert list(tmp_path.iterdir()) == []

# SPDX-License-Identifier: Apache-2.0
"""Vault sealed or gone, S3 gone or failing, the server killed: said, and survived.

One stack for the whole module; each test breaks it and mends it again.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bucket import Bucket, StoredObject

from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.openbao import OpenBao
from strongroom_server.dev.provisioning import PROVISIONER_APPROLE, approle
from tests.support.cli import TIMEOUT_S, LiveStack
from tests.support.refusals import Asked, Refusal, check_all_refused, check_refused

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

WARM = "warm/art"
COLD = "cold/art"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """A stack of this module's own, with an artifact in each of two projects."""
    folder = tmp_path_factory.mktemp("broken")
    live = LiveStack(folder / ".strongroom")
    live.up()
    try:
        (folder / "file").write_bytes(b"content")
        for artifact in (WARM, COLD):
            live.check("push", str(folder / "file"), artifact)
        yield live
    finally:
        live.down()


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """Content that no version has yet."""
    path = tmp_path / "fresh"
    path.write_bytes(os.urandom(3_000_000))
    return path


@contextmanager
def mended(stack: LiveStack) -> Iterator[None]:
    """Bring up again what the block breaks."""
    try:
        yield
    finally:
        stack.up()


#: What to do next, by who noticed that S3 is away.
HINTS = {
    "STORE_UNAVAILABLE": "Look at the store",
    "AUDIT_UNAVAILABLE": "See that S3 can be reached",
}


def kill(stack: LiveStack, name: str) -> None:
    os.kill(stack.pid(name), signal.SIGKILL)


def seal(stack: LiveStack) -> None:
    """Seal Vault while it runs, as an operator does in an emergency."""
    layout = StackLayout(stack.root)
    bao = OpenBao(layout, AddressBook(layout.addresses))
    provisioner = approle(layout, PROVISIONER_APPROLE).log_in(bao.client())
    bao.client(bao.make_root_token(provisioner)).write("sys/seal")


def content(stack: LiveStack) -> set[StoredObject]:
    """Return what is stored of contents: packs and manifests."""
    bucket = Bucket(stack.root)
    return {*bucket.objects("packs/"), *bucket.objects("manifests/")}


def accepted_bytes(stack: LiveStack, trace_id: str) -> int:
    """Return how many bytes of files the server took in during a call."""
    log = (stack.root / "server/audit/audit.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in log if trace_id in line]
    assert entries
    return sum(int(entry["detail"].get("bytes", 0)) for entry in entries)


@pytest.mark.parametrize(
    ("how", "reason"),
    [("sealed", "KEY_SERVICE_SEALED"), ("stopped", "KEY_SERVICE_UNAVAILABLE")],
)
def test_without_vault_only_what_is_open_already_is_read(
    stack: LiveStack, fresh: Path, tmp_path: Path, how: str, reason: str
) -> None:
    with mended(stack):
        kill(stack, "server")
    stack.check("cat", f"{WARM}@1/file")
    stored = content(stack)
    out = tmp_path / "out"
    with mended(stack):
        kill(stack, "vault") if how == "stopped" else seal(stack)

        refused = check_all_refused(
            stack,
            Refusal(17, reason, ["Vault"]),
            [
                Asked(("push", str(fresh), WARM)),
                Asked(("push", str(fresh), "warm/new")),
                Asked(("ref", "move", WARM, "prod", "1")),
                Asked(("pull", COLD, str(out))),
            ],
        )

        assert not [path for path in tmp_path.iterdir() if path != fresh]
        assert all(not accepted_bytes(stack, item["trace_id"]) for item in refused)
        assert content(stack) == stored
        stack.check("pull", WARM, str(out))
    versions = stack.check("log", WARM, "--json").lines
    pushed = stack.check("push", str(fresh), WARM, "--json").summary
    assert pushed["version"] == 1 + sum(line["action"] == "COMMIT" for line in versions)
    stack.check("ref", "move", WARM, "prod", str(pushed["version"]))
    stack.check("pull", COLD, str(tmp_path / "cold"))
    assert (tmp_path / "cold/file").read_bytes() == b"content"


@pytest.mark.parametrize(
    ("part", "says"),
    [("store-s3", "ConnectionRefusedError"), ("store-filer", "InternalError")],
)
def test_a_store_that_is_gone_or_answers_500_is_said_to_be_unavailable(
    stack: LiveStack, fresh: Path, tmp_path: Path, part: str, says: str
) -> None:
    before = stack.check("log", WARM, "--json").out
    out = tmp_path / "out"
    with mended(stack):
        kill(stack, part)
        doctor = stack.start("doctor", "--json")

        refused = check_all_refused(
            stack,
            # The audit log lies in S3, too, and refuses calls after five seconds.
            Refusal(
                17,
                "STORE_UNAVAILABLE",
                ["S3", says],
                otherwise=Refusal(17, "AUDIT_UNAVAILABLE", ["audit log", "the store"]),
            ),
            [
                Asked(("push", str(fresh), WARM)),
                Asked(("pull", WARM, str(out))),
                Asked(("cat", f"{WARM}@1/file")),
            ],
        )

        for item in refused:
            assert item["hint"].startswith(HINTS[item["reason"]]), item
        assert not [path for path in tmp_path.iterdir() if path != fresh]
        check_diagnosis(doctor)
    assert stack.check("log", WARM, "--json").out == before
    stack.check("push", str(fresh), WARM)
    stack.check("pull", WARM, str(out))
    assert (out / "fresh").read_bytes() == fresh.read_bytes()


def check_diagnosis(doctor: subprocess.Popen[str]) -> None:
    """Check that doctor blames the store, and not the settings of the bucket."""
    text, err = doctor.communicate(timeout=TIMEOUT_S)
    failed = [item for item in map(json.loads, text.splitlines()) if not item["ok"]]

    assert doctor.returncode == 17, "it is away, and nobody has to mend anything"
    assert "Traceback" not in err
    assert failed
    assert all(item["check"].startswith("store") for item in failed), failed
    # The audit log, which lies in S3, may have noticed first.
    for item in failed:
        by_audit = "AUDIT_UNAVAILABLE" in item["detail"]
        blamed = "S3 can be reached" if by_audit else "store's health"
        assert blamed in item["hint"], failed


def test_a_server_that_is_gone_is_said_to_be_gone(
    stack: LiveStack, fresh: Path, tmp_path: Path
) -> None:
    with mended(stack):
        kill(stack, "server")

        refused = Refusal(17, "TRANSPORT", ["cannot be reached"])
        check_refused(stack, refused, "pull", WARM, str(tmp_path / "out"))

        assert [*tmp_path.iterdir()] == [fresh]
    stack.check("pull", WARM, str(tmp_path / "out"))

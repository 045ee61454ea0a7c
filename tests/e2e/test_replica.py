# SPDX-License-Identifier: Apache-2.0
"""A second region on real processes: kills, a primary that is gone, a promotion."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from strongroom.errors import NotFoundError
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryIndex
from strongroom_server.adapters.s3 import S3Settings, open_s3
from strongroom_server.adapters.vault import open_vault
from strongroom_server.config import read_settings
from strongroom_server.core import layout
from strongroom_server.core.records import VerifyReport
from strongroom_server.core.suites import DEFAULT_SUITE
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.seaweed import BUCKET, REMOVER, TENANT
from strongroom_server.opening import vault_settings
from strongroom_server.repository.numbered_blobs import first_version
from strongroom_server.repository.relocations import RelocatedBlobs
from strongroom_server.repository.repository import open_keyring, open_repository
from strongroom_server.services.verification import Verification
from tests.support.cli import LiveStack
from tests.support.stack import WeedForTests, running_weed
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SERVER = Path(sys.executable).with_name("strongroom-server")
ARTIFACT = "demo/far"
KILLS = 6
MIB = 2**20


@pytest.fixture
def far(tmp_path: Path) -> Iterator[WeedForTests]:
    """The SeaweedFS of the second region; who writes there may not delete."""
    with running_weed(tmp_path / "far") as running:
        yield running


@pytest.fixture
def config(own_stack: LiveStack, far: WeedForTests, tmp_path: Path) -> Path:
    """A replicator's settings: it may not write here, nor delete there."""
    stack = StackLayout(own_stack.root)
    settings = read_settings(stack.server_settings)
    keys = tmp_path / "keys.json"
    keys.write_text(own_stack.check("keys", "public").out)
    path = tmp_path / "replica.toml"
    path.write_text(
        f"""
[store]
endpoint = "{settings.store.endpoint}"
bucket = "{BUCKET}"
credentials_file = "{stack.store_credentials(REMOVER)}"

[replica]
endpoint = "{far.endpoint}"
bucket = "{BUCKET}"
credentials_file = "{far.credentials_file}"
every_s = 0.2
public_keys_file = "{keys}"
"""
    )
    return path


def command(*arguments: str) -> list[str]:
    return [str(SERVER), *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, timeout=120
    )


def told(*arguments: str) -> dict[str, Any]:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def fill(folder: Path, number: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small").write_bytes(b"%d\n" % number * 1000)
    (folder / "big.bin").write_bytes(os.urandom(6 * MIB))


def replicated_until_told_to_stop(config: Path) -> list[str]:
    """Replicate until something has arrived, then SIGTERM; return what was logged."""
    process = subprocess.Popen(
        command("replicate", "--config", str(config)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    events: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        events.append(json.loads(line)["event"])
        if events[-1] == "replicated":
            process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0
    # A last round may have brought what somebody wrote to the audit log.
    while events[-3:-1] == ["replicated"] * 2:
        del events[-2]
    return events


def wait_for_objects(client: Any, prefix: str, more: int) -> None:  # noqa: ANN401
    """Wait until the replica has so many more objects below a prefix than now."""

    def count() -> int:
        found = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return int(found["KeyCount"])

    goal = count() + more
    wait_until(lambda: count() >= goal, timeout_s=30)


def check_beginning(own_stack: LiveStack, far: WeedForTests) -> int:
    """Open the replica as a store; return how many versions it shows, all whole."""
    settings = read_settings(StackLayout(own_stack.root).server_settings)
    clock, entropy = SystemClock(), SystemEntropy()
    s3 = S3Settings(
        endpoint=far.endpoint,
        region=far.region,
        bucket=BUCKET,
        access_key=far.strongroom.access_key,
        secret_key=far.strongroom.secret_key,
    )
    with ExitStack() as stack:
        inner = stack.enter_context(open_s3(s3, clock))
        if first_version(inner, layout.STORE) is None:
            return 0
        blobs = RelocatedBlobs(inner, clock)
        blobs.refresh()
        vault = stack.enter_context(
            open_vault(vault_settings(settings), clock=clock, entropy=entropy)
        )
        repository = open_repository(
            keyring=open_keyring(
                blobs=blobs, key_service=vault.keys, clock=clock, entropy=entropy
            ),
            blobs=blobs,
            signer=vault.signer,
            index=MemoryIndex(),
            clock=clock,
            entropy=entropy,
            executor=stack.enter_context(ThreadPoolExecutor(4)),
            suite=DEFAULT_SUITE,
        )
        artifact = ArtifactName(*ARTIFACT.split("/"))
        try:
            history = repository.artifact(artifact).history
        except NotFoundError:
            return 0
        *findings, report = Verification(repository).verify(artifact)
        assert isinstance(report, VerifyReport)
        assert report.damaged_count == 0, findings
        return len(history.versions)


@contextlib.contextmanager
def serving_far(
    own_stack: LiveStack, far: WeedForTests, folder: Path
) -> Iterator[subprocess.Popen[str]]:
    """Run the stack's server on the second region's bucket, as promotion says."""
    settings = StackLayout(own_stack.root).server_settings
    changed = {
        "STORE__ENDPOINT": far.endpoint,
        "STORE__CREDENTIALS_FILE": str(far.credentials_file),
        "INDEX__PATH": str(folder / "index"),
        "AUDIT__PATH": str(folder / "audit"),
        "AUDIT__LOG": "second",
    }
    environ = {f"STRONGROOM__{name}": value for name, value in changed.items()}
    process = subprocess.Popen(
        command("serve", "--config", str(settings)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**own_stack.variables(None), **environ},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def push(own_stack: LiveStack, tree: Path, number: int) -> bytes:
    """Push a version with new content; return its big file."""
    fill(tree, number)
    own_stack.check("push", str(tree), ARTIFACT, "--json")
    return (tree / "big.bin").read_bytes()


def kill_primary(own_stack: LiveStack) -> None:
    """End the server, and the S3 that its store lies in."""
    for name, process in own_stack.processes().items():
        if name == "server" or name.startswith("store"):
            os.kill(int(process["pid"]), signal.SIGKILL)


def test_a_replica_outlives_kills_of_its_replicator(
    own_stack: LiveStack,
    far: WeedForTests,
    config: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    shown, client = [0], far.client(TENANT)
    for kill in range(KILLS):
        push(own_stack, tmp_path / "tree", kill)
        replicator = subprocess.Popen(
            command("replicate", "--config", str(config)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        # Before the entries, or among them; they come last.
        if kill % 2:
            wait_for_objects(client, "journals/", 1)
        else:
            wait_for_objects(client, "", 1 + kill // 2)
        replicator.send_signal(signal.SIGKILL)
        replicator.communicate(timeout=30)

        shown.append(check_beginning(own_stack, far))
        assert shown[-2] <= shown[-1] <= kill + 1
    client.close()

    events = replicated_until_told_to_stop(config)
    assert events[0] == "replicating"
    assert events[-2:] == ["replicated", "stopping"]
    once = told("replicate", "--once", "--config", str(config))
    assert (once["is_complete"], once["findings"]) == (True, [])
    assert check_beginning(own_stack, far) == KILLS
    record_property("kills", f"versions that the replica showed after each: {shown}")


def test_a_promoted_replica_goes_on_when_the_primary_is_gone(
    own_stack: LiveStack, far: WeedForTests, config: Path, tmp_path: Path
) -> None:
    pushed = {1: push(own_stack, tmp_path / "tree", 1)}
    told("replicate", "--once", "--config", str(config))
    status = told("replica", "status", "--config", str(config))
    assert (status["state"], status["missing"]) == ("following", 0)
    with serving_far(own_stack, far, tmp_path / "refused") as refused:
        _, log = refused.communicate(timeout=60)
    assert refused.returncode != 0
    assert "is a replica that follows another store" in log

    pushed[2] = push(own_stack, tmp_path / "tree", 2)
    assert told("replica", "status", "--config", str(config))["missing"] == 1
    too_soon = run("promote", "--stopped", "--config", str(config))
    assert too_soon.returncode != 0
    assert "would be lost" in too_soon.stderr
    told("replicate", "--once", "--config", str(config))

    kill_primary(own_stack)
    promoted = told("promote", "--stopped", "--config", str(config))
    assert (promoted["state"], promoted["findings"]) == ("promoted", [])
    assert promoted["settings"]["store.endpoint"] == far.endpoint
    assert run("replicate", "--once", "--config", str(config)).returncode != 0
    with serving_far(own_stack, far, tmp_path / "second"):
        check_serving(own_stack, tmp_path, pushed)


def check_serving(
    own_stack: LiveStack, tmp_path: Path, pushed: dict[int, bytes]
) -> None:
    """Read every version of what is served now, and write another one."""
    wait_until(lambda: own_stack.run("log", ARTIFACT, "--json").code == 0, timeout_s=60)
    for number, data in pushed.items():
        out = tmp_path / f"out-{number}"
        own_stack.check("pull", f"{ARTIFACT}@{number}", str(out))
        assert (out / "big.bin").read_bytes() == data
    fill(tmp_path / "tree", 3)
    result = own_stack.check("push", str(tmp_path / "tree"), ARTIFACT, "--json")
    assert result.summary["version"] == len(pushed) + 1
    report = own_stack.check("verify", ARTIFACT, "--json").summary
    assert report["damaged_count"] == 0
    assert report["version_count"] == len(pushed) + 1


def test_the_replicators_credentials_neither_write_here_nor_delete_there(
    far: WeedForTests,
) -> None:
    there, here = far.client(TENANT), far.client(REMOVER)
    try:
        place = {"Bucket": BUCKET, "Key": "packs/aa/x"}
        put = there.put_object(**place, Body=b"x")
        with pytest.raises(ClientError, match="AccessDenied"):
            there.delete_object(**place, VersionId=put["VersionId"])
        with pytest.raises(ClientError, match="AccessDenied"):
            here.put_object(**place, Body=b"y")
    finally:
        there.close()
        here.close()

# SPDX-License-Identifier: Apache-2.0
"""A project shredded on one of two real servers is dead on both, within seconds."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import strongroom
from strongroom.errors import PreconditionError, Reason
from strongroom_server.core import shred_receipt
from strongroom_server.core.signatures import PublicKey, SignatureAlgorithm
from strongroom_server.dev.processes import ManagedProcess
from strongroom_server.dev.provisioning import SERVER_APPROLE, approle
from strongroom_server.dev.seaweed import ADMIN, BUCKET
from tests.chaos.cluster import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SECRET = b"secret weights " * 10_000
#: The watch looks every two seconds; a loaded machine may be late.
PATIENCE_S = 15.0


class RuledCluster(Cluster):
    """Servers on which a program may shred alone: people are another test's."""

    def _make_server(self, number: int) -> ManagedProcess:
        process = super()._make_server(number)
        file = self._folder(number) / "server.toml"
        text = file.read_text("utf-8")
        file.write_text(text.replace("[access]\n", "[access]\nshipped_rules = false\n"))
        return process

    def objects(self) -> dict[str, bytes]:
        """Return the bytes of every object of the bucket, by key."""
        admin = self._weed.client(ADMIN)
        pages = admin.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        found = {
            key: admin.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys
        }
        admin.close()
        return found

    def put(self, objects: dict[str, bytes]) -> None:
        """Write objects as whoever holds the administrator's keys may."""
        admin = self._weed.client(ADMIN)
        for key, data in objects.items():
            admin.put_object(Bucket=BUCKET, Key=key, Body=data)
        admin.close()

    def has_key(self, name: str) -> bool:
        """Ask Vault, with the server's own credential, whether it has a key."""
        client = approle(self.layout, SERVER_APPROLE).log_in(self._bao.client())
        return client.read(f"transit/keys/{name}") is not None


@pytest.fixture(scope="module")
def cluster() -> Iterator[RuledCluster]:
    root = Path(tempfile.mkdtemp(prefix="shred-"))
    made = RuledCluster(root / "cluster", count=2, seed=1)
    try:
        made.start()
        yield made
    finally:
        made.stop()
    assert made.left_over() == []
    shutil.rmtree(root)


def reason_of(client: strongroom.Client, uri: str) -> Reason | None:
    """Read a file; return why that was refused, or None."""
    try:
        client.read_bytes(uri)
    except PreconditionError as error:
        return error.reason
    return None


@dataclass(frozen=True)
class Shredded:
    """What was seen when a project died: the bucket before, and the receipt."""

    kept: dict[str, bytes]
    preview: strongroom.ShredPreview
    receipt: strongroom.ShredReceipt


@pytest.fixture(scope="module")
def shredded(
    cluster: RuledCluster, tmp_path_factory: pytest.TempPathFactory
) -> Shredded:
    """A project that one server shreds while the other one holds its keys."""
    source = tmp_path_factory.mktemp("source")
    (source / "w").write_bytes(SECRET)
    with (
        strongroom.Client(cluster.settings(0)) as first,
        strongroom.Client(cluster.settings(1)) as second,
    ):
        for name in ("doomed/model", "kept/model"):
            first.push(source, name)
            assert second.read_bytes(f"{name}/w") == SECRET
        kept = cluster.objects()
        preview = first.preview_shred("doomed")
        assert (preview.version_count, preview.held_count) == (1, 0)
        assert cluster.has_key(preview.kek)

        receipt = first.shred_project("doomed", reason="the contract ended")

        begin_s = time.monotonic()
        assert reason_of(first, "doomed/model/w") is Reason.KEY_SHREDDED
        while reason_of(second, "doomed/model/w") is None:
            assert time.monotonic() - begin_s < PATIENCE_S
            time.sleep(0.1)
        assert reason_of(second, "doomed/model/w") is Reason.KEY_SHREDDED
        assert second.read_bytes("kept/model/w") == SECRET
        assert second.shred_receipt("doomed").data == receipt.data
    return Shredded(kept, preview, receipt)


def test_the_receipt_names_what_is_gone_from_vault_and_bucket(
    cluster: RuledCluster, shredded: Shredded
) -> None:
    with strongroom.Client(cluster.settings(1)) as client:
        keys = {
            key.key_id: PublicKey(
                key.key_id, SignatureAlgorithm(key.algorithm), key.data
            )
            for key in client.signing_keys()
        }
    told = shred_receipt.verify_receipt(shredded.receipt.data, keys)

    assert (told["kek"], told["version_count"]) == (shredded.preview.kek, 1)
    assert not cluster.has_key(shredded.preview.kek)
    assert told["slots_locked"] == []
    assert told["slots_removed_count"] == shredded.preview.slot_count == 1
    before = {key for key in shredded.kept if key.startswith("keys/")}
    assert before - set(cluster.objects()) == set(told["slots_removed"])


def test_what_was_kept_brings_nothing_back_on_servers_that_start(
    cluster: RuledCluster, shredded: Shredded
) -> None:
    gone = set(shredded.kept) - set(cluster.objects())
    cluster.put({key: shredded.kept[key] for key in gone})

    cluster.restart_without_indexes()

    for number in range(2):
        with strongroom.Client(cluster.settings(number)) as client:
            assert reason_of(client, "doomed/model/w") is Reason.KEY_SHREDDED
            assert client.read_bytes("kept/model/w") == SECRET
            assert [item.name for item in client.list_projects()] == ["kept"]


def test_an_artifact_alone_dies_on_both_servers_and_its_project_lives(
    cluster: RuledCluster, shredded: Shredded, tmp_path: Path
) -> None:
    (tmp_path / "w").write_bytes(SECRET)
    assert shredded.receipt.name == "doomed"
    with (
        strongroom.Client(cluster.settings(0)) as first,
        strongroom.Client(cluster.settings(1)) as second,
    ):
        first.push(tmp_path, "kept/alone", exclusive=True)
        assert second.read_bytes("kept/alone/w") == SECRET
        assert second.artifact("kept/alone").exclusive
        kept = cluster.objects()
        preview = first.preview_shred("kept/alone")
        assert preview.kek != first.preview_shred("kept").kek
        assert cluster.has_key(preview.kek)

        receipt = first.shred_artifact("kept/alone", reason="consent was withdrawn")

        begin_s = time.monotonic()
        assert reason_of(first, "kept/alone/w") is Reason.KEY_SHREDDED
        while reason_of(second, "kept/alone/w") is None:
            assert time.monotonic() - begin_s < PATIENCE_S
            time.sleep(0.1)
        assert reason_of(second, "kept/alone/w") is Reason.KEY_SHREDDED
        for client in (first, second):
            assert client.read_bytes("kept/model/w") == SECRET
            assert client.shred_receipt("kept/alone").data == receipt.data
            assert client.list_shredded_artifacts("kept") == ("kept/alone",)
        assert not cluster.has_key(preview.kek)
        # All that was kept of it is put back, and opens nothing.
        gone = set(kept) - set(cluster.objects())
        assert gone == set(receipt.told()["slots_removed"])
        cluster.put({key: kept[key] for key in gone})
        assert reason_of(second, "kept/alone/w") is Reason.KEY_SHREDDED
        assert second.push(tmp_path, "kept/later", exclusive=True).version.number == 1

# SPDX-License-Identifier: Apache-2.0
"""`strongroom restore` on the command line: what is told, saved, and moved."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from strongroom_server.core import layout
from strongroom_server.opening_restores import open_living_restore
from strongroom_server.rpc.restore_servicer import Restores, RestoreServicer
from strongroom_server.services.restoring import sign_report
from tests.cli.conftest import Command
from tests.client.engine import Engine, running_engine
from tests.support.saved_backups import Safe
from tests.support.world import World

FILES = {"a.bin": b"content" * 10_000, "b": b"small"}


@pytest.fixture
def safes() -> list[Safe]:
    """The backups of the store that is served, once it is."""
    return []


@pytest.fixture
def engine(safes: list[Safe]) -> Iterator[Engine]:
    """A store of each test's own, with a backup of two versions."""

    def restores(world: World) -> RestoreServicer:
        safes.append(Safe(world))
        use_case = open_living_restore(
            world.repository,
            safes[0].bucket,
            key_service=world.key_service,
            signer=world.signer,
        )
        store = world.repository.keyring.store
        return RestoreServicer(
            Restores(use_case, partial(sign_report, world.signer, store))
        )

    with running_engine(restores=restores) as running:
        running.world.push(FILES)
        running.world.push({"c": b"second"})
        safes[0].save()
        yield running


def lose_packs(engine: Engine) -> None:
    bucket = engine.world.bucket
    for item, _ in bucket.objects():
        if item.key.startswith(layout.PACKS):
            bucket.delete_version(item.key, item.version_id)
    engine.world.repository.manifests.forget()


def test_a_restore_tells_what_is_back_and_saves_its_receipt(
    strongroom: Command, engine: Engine, tmp_path: Path
) -> None:
    lose_packs(engine)
    saved, keys = tmp_path / "receipt.json", tmp_path / "keys.json"

    done = strongroom("restore", "demo/minilm@1", "--backup", "1", "--out", str(saved))

    assert done.code == 0, done
    assert "demo/minilm@1 is back: 2 files, 68.4 KiB, sha256:" in done.out
    assert engine.world.pull("1") == FILES
    keys.write_text(strongroom("keys", "public").out)
    checked = strongroom("receipt", "verify", str(saved), "--keys", str(keys))
    assert checked.code == 0
    assert json.loads(checked.out)["target"] == "living-store"
    lose_packs(engine)
    again = strongroom("restore", "demo/minilm", "--out", str(saved))
    assert again.code != 0
    assert "overwrites nothing" in again.err
    assert not engine.world.keys(layout.PACKS)


def test_a_receipt_that_cannot_be_saved_keeps_no_ref_from_moving(
    strongroom: Command, engine: Engine, tmp_path: Path
) -> None:
    nowhere = str(tmp_path / "no" / "folder")

    done = strongroom(
        "restore", "demo/minilm@1", "--move-ref", "prod", "--out", nowhere
    )

    assert done.code != 0
    assert "cannot be written" in done.err
    assert engine.world.pull("prod") == FILES


def test_a_plan_is_shown_and_nothing_done(strongroom: Command, engine: Engine) -> None:
    lose_packs(engine)

    done = strongroom("restore", "demo/minilm", "--dry-run", "--move-ref", "prod")

    assert done.code == 0
    for text in ("locked until", "at most", "takes about", "KEK sr.store"):
        assert text in done.out
    assert "nothing was changed" in done.err
    assert not engine.world.keys(layout.PACKS)


@pytest.mark.usefixtures("engine")
def test_a_restore_is_told_as_json(strongroom: Command) -> None:
    told = strongroom("restore", "demo/minilm", "--json").lines[-1]
    plan = strongroom("restore", "demo/minilm", "--dry-run", "--json").lines[-1]

    assert told["message_type"] == "restored"
    assert (told["backup"], told["damaged_count"]) == (1, 0)
    assert json.loads(told["receipt"])["payload"]
    assert plan["message_type"] == "plan"
    assert (plan["backup"], plan["file_count"]) == (1, 1)


def test_a_deleted_version_comes_back_and_a_ref_follows(
    strongroom: Command, engine: Engine
) -> None:
    assert strongroom("delete", "demo/minilm@1", "--reason", "by mistake").code == 0

    done = strongroom("restore", "demo/minilm@1", "--move-ref", "prod")

    assert done.code == 0, done
    assert "is back as version 3" in done.out
    assert "demo/minilm@prod is version 3" in done.out
    assert engine.world.pull("prod") == FILES


def test_what_cannot_be_restored_ends_with_14(
    strongroom: Command, engine: Engine, safes: list[Safe]
) -> None:
    for row in safes[0].open(safes[0].records.load(1)).view.rows.after(layout.PACKS):
        safes[0].bucket.rot(row.key, row.version_id, b"\0" * row.size_bytes)
    lose_packs(engine)

    done = strongroom("restore", "demo/minilm@1", "--move-ref", "prod")

    assert done.code == 14
    assert "! not restored: " in done.out
    assert "prod" not in done.out
    assert "prod was not moved" in done.err


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["demo/minilm@1/a.bin"], "a single file"),
        (["demo/minilm", "--as-of", "yesterday"], "no time"),
        (["demo/minilm", "--as-of", "2020-01-01"], "no backup"),
        (["demo/minilm", "--backup", "9"], "backup 9"),
        (["demo/minilm@7"], "version 7"),
        (["demo/minilm", "--reason", "why"], "--move-ref"),
    ],
    ids=["path", "time", "early", "number", "version", "reason"],
)
def test_what_cannot_be_is_refused(
    strongroom: Command, args: list[str], says: str
) -> None:
    done = strongroom("restore", *args)

    assert done.code not in {0, 1}
    assert says in done.err

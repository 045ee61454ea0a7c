# SPDX-License-Identifier: Apache-2.0
"""Ten disasters, and what an operator does: the commands of docs/operations.md.

Each begins with a backup and goes on committing behind it, so that what is protected
and what is not differ. Each leaves the site whole, so that another may follow.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.attacks.backup_bucket import attack_backup, attack_stack
from tests.disaster.contents import CHECKPOINT, DATASET, PROD
from tests.disaster.elsewhere import other_store, serving, wired
from tests.disaster.harm import delete_everything, hide_everything, overwrite_packs
from tests.disaster.outcome import Recovery
from tests.disaster.site import Site

#: What a scenario does to a site, and how the site recovers.
Scenario = Callable[[Site, Recovery], None]
_PATIENCE_S: Final = 60.0
#: What is written until the kill, in objects: a part of what there is to write.
_PACKS_OF_BACKUP: Final = 2
_WRITES_OF_RESTORES: Final = (5, 30)


def deleted_primary(site: Site, recovery: Recovery) -> None:
    """Every version of every object of the primary is deleted for good."""
    number = site.back_up()
    recovery.lost = site.contents.go_on()
    count = lose_primary(site)
    recovery.notes.append(f"{count} object versions deleted")
    with recovery.timed():
        restore_store(site, number)


def overwritten_packs(site: Site, recovery: Recovery) -> None:
    """Every pack of the primary has other bytes, and what they were is gone."""
    recovery.lost = []
    site.contents.go_on()
    number = site.back_up()
    count = overwrite_packs(site)
    recovery.notes.append(f"{count} packs overwritten")
    site.kill_server()
    site.lose_index()
    with recovery.timed():
        site.up()
        for name in sorted({version.name for version in site.contents.versions}):
            site.strongroom("restore", name, "--backup", str(number))
        site.strongroom("verify", "--store")


def delete_markers(site: Site, recovery: Recovery) -> None:
    """A delete marker lies over every object of the primary."""
    site.back_up()
    site.contents.go_on()
    count = hide_everything(site)
    recovery.notes.append(f"{count} objects hidden")
    site.kill_server()
    site.lose_index()
    with recovery.timed():
        site.up()
        site.strongroom("verify", "--store")


def moved_refs(site: Site, recovery: Recovery) -> None:
    """Somebody with an operator's identity moves what is in use, and deletes."""
    site.back_up()
    site.contents.go_on()
    good_time = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    with site.contents.client() as thief:
        for name, version in ((CHECKPOINT, 1), (DATASET, 2)):
            thief.move_ref(name, PROD, version, reason="maintenance")
        thief.delete(f"{CHECKPOINT}@2", reason="maintenance")
    with recovery.timed():
        site.strongroom("undelete", f"{CHECKPOINT}@2")
        for name, ref in site.contents.refs:
            site.strongroom("ref", "log", f"{name}@{ref}", "--json")
            to = f"@{{{good_time}}}"
            site.strongroom("rollback", f"{name}@{ref}", "--to", to, "--yes")


def lost_index(site: Site, recovery: Recovery) -> None:
    """The server dies, and its disk with all that it had remembered."""
    site.back_up()
    site.contents.go_on()
    site.kill_server()
    site.lose_index()
    with recovery.timed():
        site.up()


def killed_backup(site: Site, recovery: Recovery) -> None:
    """The server is killed while it takes a backup; then the primary is lost."""
    site.contents.go_on()
    before = len(site.backup_packs())
    site.stop_server()
    with (
        wired(site, site.backup_store) as (wire, settings),
        serving(site, settings) as server,
    ):
        wire.swallow_after(_PACKS_OF_BACKUP, below="/packs/")
        process = site.live.start("backup", "create", "--json")
        assert wire.swallows.wait(_PATIENCE_S), "the backup was done before"
        server.kill()
        process.communicate(timeout=_PATIENCE_S)
        assert process.returncode
    locked = len(site.backup_packs()) - before
    recovery.notes.append(f"killed when {locked} new packs were locked")
    assert locked >= _PACKS_OF_BACKUP
    with recovery.timed():
        site.up()
        number = site.back_up()
        site.strongroom("backup", "verify", str(number), "--deep")
    lose_primary(site)
    with recovery.timed():
        restore_store(site, number)


def killed_restore(site: Site, recovery: Recovery) -> None:
    """The primary is lost, and the restore is killed, twice."""
    number = site.back_up()
    recovery.lost = site.contents.go_on()
    lose_primary(site)
    with recovery.timed():
        for writes in _WRITES_OF_RESTORES:
            wanted = len(site.primary_objects()) + writes
            with wired(site, site.store) as (wire, settings):
                wire.swallow_after(writes)
                process = site.start_server_program(*restore_command(settings, number))
                assert wire.swallows.wait(_PATIENCE_S), "the restore was done before"
                process.kill()
                process.communicate(timeout=_PATIENCE_S)
                assert process.returncode
            there = len(site.primary_objects())
            recovery.notes.append(f"killed when {there} objects were restored")
            assert there >= wanted
        restore_store(site, number)


def stolen_credentials(site: Site, recovery: Recovery) -> None:
    """Who has every credential that we hold does what they can to the backup."""
    number = site.back_up()
    recovery.lost = site.contents.go_on()
    # Those of the store open nothing there, which takes long to find out.
    counts = (
        attack_stack(site.layout)
        if site.thorough
        else attack_backup(site.backup_store, {})
    )
    recovery.notes.append(next(counts.lines()))
    assert counts.attempt_count
    assert not counts.succeeded, counts.succeeded
    lose_primary(site)
    with recovery.timed():
        restore_store(site, number)


def restored_vault(site: Site, recovery: Recovery) -> None:
    """Vault and all that it has stored are gone; there is a snapshot of it."""
    site.back_up()
    snapshot = site.folder / "vault.snap"
    site.vault.snapshot(snapshot)
    site.contents.go_on()
    site.vault.destroy()
    site.kill_server()
    with recovery.timed():
        site.vault.restore(snapshot)
        settings = ("--config", str(site.settings))
        site.strongroom("vault", "check", *settings)
        site.strongroom("vault", "check", *settings, "--backup", "newest")
        site.up()


def restored_elsewhere(site: Site, recovery: Recovery) -> None:
    """Primary, servers and their disks are gone; there is another, empty S3."""
    number = site.back_up()
    recovery.lost = site.contents.go_on()
    lose_primary(site)
    kept = [item for item in site.contents.versions if item not in recovery.lost]
    with other_store(site) as settings:
        with recovery.timed():
            site.server_program(*restore_command(settings, number), "--dry-run")
            site.server_program(*restore_command(settings, number))
        with serving(site, settings):
            recovery.seen += site.contents.lost(kept)
    # And back home, so that others may follow.
    restore_store(site, number)


def restore_command(settings: Path, number: int) -> tuple[str, ...]:
    """Return the command that restores a backup into the store of the settings."""
    options = ("--to-store", "--backup", str(number), "--json")
    return ("restore", "--config", str(settings), *options)


def lose_primary(site: Site) -> int:
    """Have the primary deleted while a server runs; stop that; return how many."""
    count = delete_everything(site)
    site.stop_server()
    # What it has written since is of no history that there will be: an operator
    # removes that, or restores into an empty prefix.
    delete_everything(site)
    assert not site.primary_objects()
    site.lose_index()
    site.lay_audit_aside()
    return count


def restore_store(site: Site, number: int) -> None:
    """Restore the whole store into the bucket of the settings, and start on it."""
    site.server_program(*restore_command(site.settings, number), "--dry-run")
    site.server_program(*restore_command(site.settings, number))
    site.up()


#: By name, in the order in which one site can bear them all.
SCENARIOS: Final[Mapping[str, Scenario]] = {
    "stolen backup credentials": stolen_credentials,
    "lost index": lost_index,
    "moved refs": moved_refs,
    "delete markers everywhere": delete_markers,
    "overwritten packs": overwritten_packs,
    "Vault restored from its own backup": restored_vault,
    "deleted primary": deleted_primary,
    "killed mid-restore": killed_restore,
    "killed mid-backup": killed_backup,
    "empty bucket at another endpoint": restored_elsewhere,
}

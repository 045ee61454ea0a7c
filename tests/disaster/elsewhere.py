# SPDX-License-Identifier: Apache-2.0
"""Another S3, with nothing in it, or one whose wire ends; a server started on it."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.probing import is_serving
from strongroom_server.dev.seaweed import SeaweedFS
from tests.disaster.site import SERVER_PROGRAM, Site
from tests.support.partition import Wire, wire_to

_START_S: Final = 60.0


@contextmanager
def other_store(site: Site) -> Iterator[Path]:
    """Run an empty S3 at another endpoint; yield settings that name it."""
    folder = site.folder / "elsewhere"
    layout = StackLayout(folder)
    weed = SeaweedFS(layout, AddressBook(layout.addresses))
    try:
        weed.start()
        weed.ensure_bucket()
        changes = {
            site.store.endpoint: weed.endpoint,
            f"{site.layout.store}/": f"{layout.store}/",
            f"{site.layout.server}/index": f"{folder}/index",
            f"{site.layout.server}/audit": f"{folder}/audit",
        }
        yield changed_settings(site, folder, changes)
    finally:
        weed.stop()


@contextmanager
def wired(site: Site, weed: SeaweedFS) -> Iterator[tuple[Wire, Path]]:
    """Put a wire in front of an S3 of the site; yield it, and settings that use it."""
    folder = site.folder / "wired"
    folder.mkdir(exist_ok=True)
    with wire_to(weed.endpoint) as wire:
        yield wire, changed_settings(site, folder, {weed.endpoint: wire.address})


def changed_settings(site: Site, folder: Path, changes: Mapping[str, str]) -> Path:
    """Write the site's settings into a folder, with other words in them."""
    text = site.settings.read_text("utf-8")
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    settings = folder / "server.toml"
    settings.write_text(text, "utf-8")
    settings.chmod(0o600)
    return settings


@contextmanager
def serving(site: Site, settings: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server by other settings, at the site's own address, while its own rests.

    Its clients find it where they have always found theirs.
    """
    port = AddressBook(site.layout.addresses).port("server-health")
    log = settings.with_name("server.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [SERVER_PROGRAM, "serve", "--config", settings],
            stdout=output,
            stderr=output,
            env=site.live.variables(None),
        )
        try:
            deadline = time.monotonic() + _START_S
            while not is_serving(port):
                told = log.read_text("utf-8", "replace")[-2000:]
                assert process.poll() is None, told
                assert time.monotonic() < deadline, told
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()
            process.wait(_START_S)

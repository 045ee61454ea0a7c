# SPDX-License-Identifier: Apache-2.0
"""A real server over memory adapters, and settings of clients for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from strongroom.config import ClientSettings
from strongroom_server.ports import IssuedCertificate
from strongroom_server.rpc.drill_servicer import DrillServicer
from strongroom_server.rpc.restore_servicer import RestoreServicer
from strongroom_server.services.backups import Backups
from tests.rpc.authority import DEVELOPER, SERVER
from tests.rpc.engine import serving_world
from tests.rpc.running import Running
from tests.support.world import World

#: Larger than any pack of small tests that holds no content.
PACK_BYTES = 100_000


@dataclass
class Engine:
    """A server that runs, and what stands behind it."""

    world: World
    server: Running

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def settings(
        self,
        folder: Path,
        *,
        certificate: IssuedCertificate | None = None,
        endpoint: str = "",
    ) -> ClientSettings:
        shown = certificate or self.server.authority.issue(DEVELOPER)
        return write_settings(
            folder,
            endpoint=endpoint or self.endpoint,
            ca_pem=self.server.authority.ca_pem,
            certificate=shown,
        )

    def flip_stored_bits(self) -> None:
        """Change a byte in the middle of every pack that holds more than tables."""
        bucket = self.world.bucket
        for blob, data in bucket.objects():
            if blob.key.startswith("packs/") and len(data) > PACK_BYTES:
                changed = bytearray(data)
                changed[len(data) // 2] ^= 1
                bucket.corrupt(blob.key, blob.version_id, bytes(changed))


def write_settings(
    folder: Path, *, endpoint: str, ca_pem: bytes, certificate: IssuedCertificate
) -> ClientSettings:
    """Write certificate files, and return the settings that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "ca.crt": ca_pem,
        "tls.crt": certificate.chain_pem,
        "tls.key": certificate.private_key_pem,
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    return ClientSettings(
        endpoint=endpoint,
        ca_file=folder / "ca.crt",
        cert_file=folder / "tls.crt",
        key_file=folder / "tls.key",
        server_spiffe_id=SERVER,
        call_timeout_s=20.0,
        stall_timeout_s=20.0,
    )


def write_config(settings: ClientSettings, path: Path) -> Path:
    """Write settings as a `client.toml`."""
    lines = [
        f'{name} = "{getattr(settings, name)}"\n'
        for name in ("endpoint", "ca_file", "cert_file", "key_file")
    ]
    if settings.spans_file is not None:
        lines.append(f'spans_file = "{settings.spans_file}"\n')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))
    return path


def impatient(settings: ClientSettings, stall_s: float) -> ClientSettings:
    """Return settings that give up on a silent server soon."""
    return replace(settings, stall_timeout_s=stall_s)


@contextmanager
def running_engine(
    drills: Callable[[World], DrillServicer] | None = None,
    restores: Callable[[World], RestoreServicer] | None = None,
    backups: Callable[[World], Backups] | None = None,
) -> Iterator[Engine]:
    """Serve the real API on an engine in memory, with `backups` and `drills` or not."""
    with serving_world(drills=drills, backups=backups, restores=restores) as (
        world,
        server,
    ):
        yield Engine(world, server)

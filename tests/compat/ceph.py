# SPDX-License-Identifier: Apache-2.0
"""A Ceph cluster of one monitor, one OSD in memory and one S3 gateway, on loopback.

Debian's packages are enough: `apt-get install --no-install-recommends ceph-common
ceph-mon ceph-mgr ceph-osd radosgw`. Needs no root; everything lies in one folder.
"""

import shutil
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

PROGRAMS: Final = ("ceph", "ceph-mon", "ceph-mgr", "ceph-osd", "radosgw")
ACCESS_KEY, SECRET_KEY = "compat", "compat-secret"
STEP_S: Final = 60
START_S: Final = 60.0
STOP_S: Final = 20.0
_CONF: Final = """\
[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{mon_port}/0
mon initial members = a
mon allow pool size one = true
mon data avail crit = 1
auth cluster required = none
auth service required = none
auth client required = none
run dir = {root}/run
admin socket = {root}/run/$name.asok
pid file = {root}/run/$name.pid
log file = {root}/run/$name.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
public network = 127.0.0.0/8
ms bind msgr2 = false
[mon.a]
mon data = {root}/mon
[osd.0]
osd data = {root}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd class load list = *
osd class default list = *
[mgr.x]
mgr data = {root}/mgr
[client.rgw]
rgw data = {root}/rgw
rgw frontends = beast endpoint=127.0.0.1:{rgw_port}
"""


def is_installed() -> bool:
    """Return whether Debian's packages are there."""
    return all(shutil.which(program) for program in PROGRAMS)


def installed_version() -> str:
    """Return what `radosgw --version` says of its number."""
    return _run("radosgw", "--version").split()[2]


@contextmanager
def running_ceph(root: Path) -> Iterator[str]:
    """Run the cluster in a folder; yield the gateway's URL."""
    for name in ("run", "mon", "osd", "mgr", "rgw"):
        (root / name).mkdir(parents=True)
    conf = root / "ceph.conf"
    fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
    mon_port, rgw_port = _free_ports(2)
    conf.write_text(
        _CONF.format(fsid=fsid, root=root, mon_port=mon_port, rgw_port=rgw_port)
    )
    ceph = ("-c", str(conf))
    monmap = str(root / "monmap")
    url = f"http://127.0.0.1:{rgw_port}"
    with ExitStack() as stack:
        _run("monmaptool", "--create", "--fsid", fsid, "--addv", "a",
             f"[v1:127.0.0.1:{mon_port}]", monmap)  # fmt: skip
        _run("ceph-mon", *ceph, "--mkfs", "-i", "a", "--monmap", monmap,
             "--no-mon-config")  # fmt: skip
        stack.enter_context(_daemon("ceph-mon", *ceph, "-i", "a"))
        _run("ceph", *ceph, "osd", "new", osd, "0")
        _run("ceph-osd", *ceph, "-i", "0", "--mkfs", "--osd-uuid", osd,
             "--no-mon-config")  # fmt: skip
        stack.enter_context(_daemon("ceph-osd", *ceph, "-i", "0"))
        stack.enter_context(_daemon("ceph-mgr", *ceph, "-i", "x"))
        # The gateway gives up if it cannot make its pools soon.
        _wait_until_up(ceph)
        stack.enter_context(_daemon("radosgw", *ceph, "-n", "client.rgw"))
        _wait_for(url)
        _run("radosgw-admin", *ceph, "user", "create", "--uid=compat",
             "--display-name=compat", f"--access-key={ACCESS_KEY}",
             f"--secret-key={SECRET_KEY}")  # fmt: skip
        yield url


@contextmanager
def _daemon(*command: str) -> Iterator[None]:
    process = subprocess.Popen(
        [*command, "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=STOP_S)


def _run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=STEP_S
    )
    return done.stdout


def _wait_until_up(ceph: tuple[str, ...]) -> None:
    deadline = time.monotonic() + START_S
    while "1 up" not in _run("ceph", *ceph, "osd", "stat"):
        if time.monotonic() > deadline:
            message = "the OSD did not come up"
            raise TimeoutError(message)
        time.sleep(0.5)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 -- ours, http
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports

# SPDX-License-Identifier: Apache-2.0
"""Ten thousand key slots wrapped again: killed in the middle, resumed, proved.

    make keys-rewrap
    make keys-rewrap BENCH_ARGS="--slots 1000"

Starts a stack of its own in a temporary folder, makes key domains with epochs,
rotates all KEKs, kills the server in the middle of `strongroom keys rewrap`, starts
it again, lets the same command end, retires the old versions and shows that Vault
refuses a slot from before. Exit code 0 if all of that came out right, else 1.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.s3 import S3Settings, open_s3
from strongroom_server.adapters.vault import AppRoleLogin, VaultSettings, open_vault
from strongroom_server.config import read_credentials, read_settings
from strongroom_server.core.scope import ID_BYTES, Scope
from strongroom_server.dev.layout import StackLayout
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.repository import open_keyring
from tests.bench.measuring import BenchError, end_like_interrupt, say
from tests.bench.stacks import STRONGROOM, BenchStack, running_stack

ROOT: Final = Path(__file__).resolve().parents[2]
EPOCHS: Final = 10
#: The server is killed once so much is done.
KILLED_AT: Final = 0.4
_THREADS: Final = 8
_TIMEOUT_S: Final = 1800.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--slots", type=int, default=10_000)
    options = parser.parse_args(arguments)
    end_like_interrupt()
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="keys-", dir=build) as folder,
            running_stack(Path(folder) / "stack") as stack,
        ):
            _run(stack, max(options.slots // EPOCHS, 1))
    except BenchError as error:
        print(f"keys-rewrap: {error}", file=sys.stderr)
        return 1
    say("keys-rewrap: ok")
    return 0


def _run(stack: BenchStack, domains: int) -> None:
    with _opened_keyring(stack) as keyring:
        started_s = time.monotonic()
        scopes = _make_slots(keyring, domains)
        elapsed_s = time.monotonic() - started_s
        say(f"{domains} key domains of {EPOCHS} epochs made in {elapsed_s:.1f} s")
        old = [keyring.slots.of_domain(scope.domain)[0] for scope in scopes[:3]]

        say(_strongroom(stack, "keys", "rotate"))
        done, total = _rewrap_killed(stack)
        say(f"server killed at {done} of {total} slots ({100 * done // total} %)")
        _strongroom(stack, "dev", "up")
        current = sum(entry["state"] == "CURRENT" for entry in _listed(stack))
        say(f"{current} of {total} slots are on the newest version; once more:")
        _check(0 < current < total, "the kill hit the middle")

        told = _strongroom(stack, "keys", "rewrap")
        say(told)
        _check("0 slots on an old version" in told, "the proof is complete")
        left = {entry["state"] for entry in _listed(stack)}
        _check(left == {"CURRENT"}, "every slot is on the newest version")

        say(_strongroom(stack, "keys", "retire"))
        for scope, stored in zip(scopes, old, strict=False):
            data = keyring._blobs.get(
                stored.item.key, version_id=stored.item.version_id, max_bytes=20_000
            )
            _check(
                _is_refused(keyring, scope.at_epoch(stored.epoch), data),
                f"Vault refuses {stored.item.key}",
            )
        say("Vault refuses the slots from before the rotation")


@contextmanager
def _opened_keyring(stack: BenchStack) -> Iterator[Keyring]:
    """Yield the store's keyring, as the server itself has it."""
    settings = read_settings(StackLayout(stack.root).server_settings)
    clock, entropy = SystemClock(), SystemEntropy()
    files = settings.vault.login_files
    login = AppRoleLogin(files["role_id_file"], files["secret_id_file"])
    access_key, secret_key = read_credentials(settings.store.credentials_file)
    s3 = S3Settings(
        endpoint=settings.store.endpoint,
        region=settings.store.region,
        bucket=settings.store.bucket,
        prefix=settings.store.prefix,
        access_key=access_key,
        secret_key=secret_key,
        ca_file=str(settings.store.ca_file or ""),
        pool_size=_THREADS,
    )
    vault = VaultSettings(
        address=settings.vault.address, ca_file=settings.vault.ca_file, login=login
    )
    with (
        open_vault(vault, clock=clock, entropy=entropy) as session,
        open_s3(s3, clock) as blobs,
    ):
        yield open_keyring(
            blobs=blobs, key_service=session.keys, clock=clock, entropy=entropy
        )


def _make_slots(keyring: Keyring, domains: int) -> list[Scope]:
    def make(_: int) -> Scope:
        scope = Scope(keyring.store, os.urandom(ID_BYTES), os.urandom(ID_BYTES), 0)
        dedup = keyring.create(scope).dedup
        for epoch in range(1, EPOCHS):
            keyring._add_slot(scope.at_epoch(epoch), dedup)
        return scope

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(make, range(domains)))


def _rewrap_killed(stack: BenchStack) -> tuple[int, int]:
    """Start a re-wrap, kill the server on its way; return how far it was."""
    command = [str(STRONGROOM), "keys", "rewrap", "--json"]
    with subprocess.Popen(
        command,
        env=stack.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            if told["message_type"] == "status":
                done, total = int(told["done"]), int(told["total"])
                if told["name"].startswith("wrapping") and done >= KILLED_AT * total:
                    os.kill(stack.watched.server, signal.SIGKILL)
                    break
        else:
            message = "the re-wrap ended before it could be killed"
            raise BenchError(message)
        code = process.wait(_TIMEOUT_S)
    _check(code != 0, "the command tells that the server went away")
    return done, total


def _listed(stack: BenchStack) -> list[dict[str, Any]]:
    lines = _strongroom(stack, "keys", "ls", "--json").splitlines()
    return [json.loads(line) for line in lines]


def _is_refused(keyring: Keyring, scope: Scope, data: bytes) -> bool:
    try:
        keyring.slots.open_bytes(scope, data)
    except PreconditionError as error:
        return error.reason is Reason.KEK_ACCESS_DENIED
    return False


def _strongroom(stack: BenchStack, *arguments: str) -> str:
    place = ["--dir", str(stack.root)] if arguments[0] == "dev" else []
    run = subprocess.run(
        [STRONGROOM, *arguments, *place],
        env=stack.environ,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if run.returncode:
        message = f"strongroom {' '.join(arguments)}: {run.stderr[-2000:]}"
        raise BenchError(message)
    return run.stdout.rstrip("\n")


def _check(ok: bool, what: str) -> None:
    if not ok:
        message = f"not so: {what}"
        raise BenchError(message)


if __name__ == "__main__":
    sys.exit(main())

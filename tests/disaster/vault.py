# SPDX-License-Identifier: Apache-2.0
"""A stack's OpenBao: a snapshot of it, its end, and its restore, by `bao` itself.

The commands are those of docs/operations.md, one by one.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.openbao import OpenBao
from strongroom_server.dev.programs import bao_program
from strongroom_server.dev.provisioning import SNAPSHOT_APPROLE

_TIMEOUT_S = 60.0


class StackVault:
    """The OpenBao of the stack in a folder."""

    def __init__(self, root: Path) -> None:
        self._layout = StackLayout(root.resolve())

    @property
    def _bao(self) -> OpenBao:
        """As it is now: ports are chosen when a stack is first started."""
        return OpenBao(self._layout, AddressBook(self._layout.addresses))

    def run(self, *args: str, token: str = "", given: str = "") -> str:
        """Run `bao ARGS`, which must succeed; return what it prints.

        Args:
            args: The command's; never a secret.
            token: What to be let in with.
            given: Standard input.
        """
        home = self._layout.root / "home"
        done = subprocess.run(
            [bao_program(), *args],
            input=given,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "BAO_ADDR": self._bao.address,
                "BAO_CACERT": str(self._layout.vault_ca),
                "BAO_TOKEN": token,
            },
        )
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout

    def snapshot(self, path: Path) -> None:
        """Take a snapshot, by the identity that may do nothing else."""
        role_id, secret_id = self._layout.approle(SNAPSHOT_APPROLE)
        login = ("write", "-field=token", "auth/approle/login")
        token = self.run(*login, f"role_id=@{role_id}", f"secret_id=@{secret_id}")
        self.run("operator", "raft", "snapshot", "save", str(path), token=token)

    def destroy(self) -> None:
        """End it, and remove all that it has stored."""
        self._bao.process.stop()
        shutil.rmtree(self._layout.vault / "data")

    def restore(self, path: Path) -> None:
        """Make a new one out of a snapshot and the unseal key of the old one."""
        self._bao.start()
        init = ("operator", "init", "-key-shares=1", "-key-threshold=1")
        fresh: dict[str, Any] = json.loads(self.run(*init, "-format=json"))
        self._unseal(fresh["unseal_keys_b64"][0])
        restore = ("operator", "raft", "snapshot", "restore", "-force", str(path))
        self.run(*restore, token=fresh["root_token"])
        self._unseal(self._bao.unseal_key())

    def roll_back(self, path: Path) -> None:
        """Put an older snapshot into the one that runs."""
        self.destroy()
        self.restore(path)

    def _unseal(self, key: str) -> None:
        self.run("write", "sys/unseal", "key=-", given=key)
        bao = self._bao
        bao.process.wait_until(bao.is_active, _TIMEOUT_S, "is not active")

# SPDX-License-Identifier: Apache-2.0
"""Every command of the product, used once on a real stack, and what each said."""

import json
import os
import re
import signal
import subprocess
import time
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.cli import STRONGROOM, TIMEOUT_S, LiveStack, Result
from tests.support.people import terminal_of
from tests.support.searching import Place, stored_objects

NAME = "secrets/model"


class Session:
    """Every command once, and what each said."""

    def __init__(self, stack: LiveStack, folder: Path) -> None:
        # What a command saves where it runs, such as receipts, belongs there, too.
        self.stack = replace(stack, folder=folder)
        self.folder = folder
        self.said: list[Place] = []
        self.used: set[str] = set()

    def run(self, *args: str, **environ: str) -> Result:
        """Run a command, whatever comes of it; keep what it says."""
        result = self.stack.run(*args, environ=environ)
        line = " ".join(args)
        self.said.append((line, (result.out + result.err).encode()))
        assert "Traceback" not in result.err, (line, result)
        self.used.add(line)
        return result

    def check(self, *args: str, **environ: str) -> Result:
        """Run a command that must succeed."""
        result = self.run(*args, **environ)
        assert result.code == 0, (args, result)
        return result

    def serve(self, *args: str, code: int = 0) -> Result:
        """Run `strongroom-server`, which must end so; keep what it says."""
        done = subprocess.run(
            [STRONGROOM.with_name("strongroom-server"), *args],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=self.folder,
        )
        line = " ".join(["strongroom-server", *args])
        self.said.append((line, (done.stdout + done.stderr).encode()))
        assert done.returncode == code, (line, done)
        return Result(done.returncode, done.stdout, done.stderr)

    def transfer(self) -> None:
        """Put versions in, and get them out."""
        tree, name = self.folder / "tree", NAME
        tree.mkdir()
        (tree / "small.txt").write_bytes(b"one")
        (tree / "big.bin").write_bytes(bytes(range(256)) * 20_000)
        self.check("project", "create", "empty")
        self.check("push", str(tree), name, "--kind", "weights")
        (tree / "small.txt").write_bytes(b"two")
        self.check("push", str(tree), name, "--json")
        self.check("pull", name, str(self.folder / "out"))
        self.check("cat", f"{name}/small.txt")
        self.check("ls")
        self.check("ls", "secrets")
        self.check("ls", name, "--versions")
        self.check("ls", f"{name}@1")
        for command in ("show", "log", "explain", "lineage", "verify"):
            self.check(command, name)
        self.check("bench", name, "--size", "32")
        self.check("diff", f"{name}@1", f"{name}@2")
        self.check("ref", "move", name, "prod", "1")
        self.check("ref", "move", name, "prod", "2")
        self.check("ref", "ls", name)
        self.check("rollback", f"{name}@prod", "--dry-run")
        self.check("rollback", name, "prod", "--reason", "why")
        self.check("ref", "log", f"{name}@prod")
        assert self.run("pull", f"{name}@9", str(self.folder / "none")).code != 0
        assert self.run("push", str(tree), "Bad Name").code != 0

    def keep(self) -> None:
        """Delete, hold, sweep, verify and mend."""
        tree, name = self.folder / "tree", NAME
        self.check("delete", f"{name}@2", "--reason", "why")
        self.check("undelete", f"{name}@2")
        self.check("hold", "set", name, "--reason", "why")
        self.check("hold", "lift", name, "--reason", "why")
        self.check("policy", "show", name)
        self.check("policy", "set", name, "--keep-last", "5")
        self.check("sweep", "--plan", str(self.folder / "plan.json"))
        self.check("sweep", "--apply", str(self.folder / "plan.json"))
        self.check("verify", "--store")
        self.check("verify", "--store", "--without-keys")
        self.check("repair", f"{name}@2", "--from", str(tree))
        self.check("index", "rebuild")
        key = next(key for key, _ in stored_objects(self.stack) if key[:5] == "packs")
        self.check("explain", "--object", key)

    def beside(self) -> None:
        """Use a sidecar, which stops once, so that its watch is over."""
        root = str(self.stack.root)
        self.check("dev", "sidecar", "--dir", root)
        through = str(self.stack.root / "sidecar/client.toml")
        beside = str(self.folder / "beside")
        self.check("--config", through, "pull", NAME, beside)
        self.check("--config", through, "push", beside, "secrets/beside")
        pid = self.stack.pid("sidecar")
        time.sleep(1)  # For its watch to begin.
        os.kill(pid, signal.SIGTERM)
        while is_running(pid):
            time.sleep(0.05)
        self.check("dev", "sidecar", "--dir", root)

    def operate(self) -> None:
        """Look after keys, access, audit and the stack itself."""
        for command in ("ls", "rotate", "rewrap", "retire"):
            self.check("keys", command)
        self.check("keys", "epoch", "secrets")
        self.check(
            "access", "explain", "--action", "version.read", "--resource", f"{NAME}@1"
        )
        table = self.folder / "table.csv"
        table.write_text("principal,action,resource,expected\n")
        assignments = str(self.stack.root / "server/assignments.toml")
        self.run("access", "test", str(table), "--assignments", assignments)
        self.audit()
        self.check("doctor")
        trace = re.search(rb"trace ([0-9a-f]{32})", b"".join(x for _, x in self.said))
        assert trace is not None
        self.check("trace", trace[1].decode())
        self.check("vault", "policy")
        settings = str(self.stack.root / "server/server.toml")
        self.check("vault", "check", "--config", settings)
        for command in ("status", "env"):
            self.check("dev", command, "--dir", str(self.stack.root))

    def protect(self) -> None:
        """Take a backup, look at it, and keep it for longer."""
        saved = str(self.folder / "root.json")
        self.check("backup", "create")
        self.check("backup", "ls")
        self.check("backup", "show", "--out", saved)
        self.check("backup", "verify", "1", "--deep")
        assert self.run("backup", "extend", "1", "--until", "2099-01-01").code != 0
        self.check("backup", "hold", "1")
        assert self.run("backup", "hold", "1", "--lift").code != 0
        public = self.folder / "root-keys.json"
        public.write_text(self.check("keys", "public").out)
        self.check("backup", "prove", saved, "--keys", str(public))
        restored = str(self.folder / "restored.json")
        self.check("restore", NAME, "--backup", "1", "--dry-run")
        self.check("restore", NAME, "--backup", "1", "--out", restored)
        self.check("receipt", "verify", restored, "--keys", str(public))
        report = str(self.folder / "drill.json")
        self.check("drill", "run", "--out", report)
        self.check("drill", "ls")
        self.check("drill", "show", "1", "--json")
        self.check("drill", "verify", report, "--keys", str(public))
        self.restore_without_server()
        self.replicate()

    def restore_without_server(self) -> None:
        """Restore from the backup bucket and Vault alone, and list what there is."""
        config = ("--config", str(self.stack.root / "server/server.toml"))
        one = ("restore", *config, "--backup", "1")
        self.serve("restore", *config, "--list")
        self.serve(*one, "--list", "--json")
        target = ("--to-folder", str(self.folder / "restored-files"))
        self.serve(*one, *target, "--dry-run")
        self.serve(*one, *target, "--artifact", NAME, "--version", "1")
        assert self.serve(*one, "--list", "--project", "none", code=10).err

    def replicate(self) -> None:
        """Have a prefix of another bucket follow the store, and promote it."""
        settings = tomllib.loads((self.stack.root / "server/server.toml").read_text())
        public = self.folder / "replica-keys.json"
        public.write_text(self.check("keys", "public").out)
        config = self.folder / "replica.toml"
        config.write_text(replica_settings(settings, public))
        for command in (["replicate", "--once"], ["replica", "status"], ["promote"]):
            stopped = ["--stopped"] if command == ["promote"] else []
            self.serve(*command, *stopped, "--config", str(config))

    def approve(self, asked: str, terminal: Mapping[str, str]) -> None:
        """Approve what somebody asked for, as somebody else."""
        shown = self.check("approvals", "show", asked, "--json", **terminal)
        digest = json.loads(shown.out)["digest"]
        self.check("approvals", "approve", asked, "--yes", digest, **terminal)

    def lift(self, officer: Mapping[str, str]) -> None:
        """Ask that the hold of a backup is lifted, and think better of it."""
        asked = self.asked("backup", "hold", "1", "--lift", **officer)
        self.check("approvals", "withdraw", asked, "--reason", "no", **officer)

    def sign_in(self, people: Mapping[str, Mapping[str, str]]) -> None:
        """Sign people in, each at a terminal of their own."""
        root = str(self.stack.root)
        for name, terminal in people.items():
            self.check("login", **terminal)
            self.check("whoami", **terminal)
            self.check("dev", "otp", name, "--dir", root)
        self.check("dev", "people", "--dir", root)

    def agree(self) -> None:
        """Destroy an artifact, then its project, for which two people are needed."""
        alice = terminal_of("alice", self.stack.root)
        bob = terminal_of("bob", self.stack.root)
        root = str(self.stack.root)
        self.check("push", str(self.folder / "tree"), "old/model")
        self.check("create", "old/alone", "--exclusive")
        self.check("push", str(self.folder / "tree"), "old/alone", "--exclusive")
        self.sign_in({"alice": alice, "bob": bob})
        assert self.run("dev", "sign-in", "alice", "https://x", "--dir", root).code
        self.lift(bob)
        self.check("shred", "old", "--dry-run", **alice)
        first, second, third = (
            self.asked("shred", "old", "--reason", why, **alice)
            for why in ("why", "why else", "why not")
        )
        self.check("approvals", "withdraw", third, "--reason", "no need", **alice)
        self.check("approvals", "ls", **bob)
        self.check("approvals", "show", first, **bob)
        spare = ("spare", "--software", str(self.folder / "spare.json"))
        self.check("approvals", "enroll", *spare, **bob)
        self.check("approvals", "deny", second, "--reason", "no", **bob)
        alone = self.asked("shred", "old/alone", "--reason", "why", **alice)
        for asked in (alone, first):
            self.approve(asked, bob)
            self.check("approvals", "run", asked, **alice)
        receipt = str(self.folder / "receipt.json")
        self.check("shred", "old", "--receipt", "--out", receipt, **alice)
        self.check("ls", "--shredded", **alice)
        public = self.folder / "keys.json"
        public.write_text(self.check("keys", "public").out)
        self.check("receipt", "verify", receipt, "--keys", str(public))
        self.check("logout", **alice)

    def asked(self, *args: str, **environ: str) -> str:
        """Run a command that somebody else has to approve; return the approval."""
        result = self.run(*args, "--json", **environ)
        assert result.code == 13, result
        approval = json.loads(result.err.splitlines()[-1])["metadata"]["approval"]
        assert isinstance(approval, str)
        return approval

    def audit(self) -> None:
        """Read the audit log in every way."""
        settings = {
            "STRONGROOM_SERVER_CONFIG": str(self.stack.root / "server/server.toml")
        }
        listed = self.check("audit", "ls", "--json", **settings).lines
        audit_id = str(listed[-1]["audit_id"])
        for command in ("tail", "keys", "verify"):
            self.check("audit", command, **settings)
        for command in ("show", "prove"):
            self.check("audit", command, audit_id, **settings)
        self.check("audit", "who-read", f"{NAME}@1", **settings)
        self.check("audit", "export", str(self.folder / "exported"), **settings)
        vault_log = str(self.stack.root / "vault/audit.log")
        self.run("audit", "reconcile", "--vault-log", vault_log, **settings)


def replica_settings(settings: Mapping[str, Any], public: Path) -> str:
    """Return a replicator's settings: the backups' bucket has room for a replica."""
    store, backup = settings["store"], settings["backup"]
    lines = ["[store]", *_bucket(store), "[replica]", *_bucket(backup)]
    lines += ['prefix = "second/"', f'public_keys_file = "{public}"']
    return "\n".join(lines)


def _bucket(section: Mapping[str, Any]) -> list[str]:
    names = ("endpoint", "bucket", "credentials_file")
    return [f'{name} = "{section[name]}"' for name in names]


def is_running(pid: int) -> bool:
    """Tell whether a process is there, and not only waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"

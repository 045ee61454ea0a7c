# SPDX-License-Identifier: Apache-2.0
"""What a stack must not do: write elsewhere, listen elsewhere, show or keep secrets."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom_server.dev.private_files import write_record
from strongroom_server.dev.provisioning import (
    PROVISIONER_APPROLE,
    SERVER_APPROLE,
    approle,
)
from strongroom_server.dev.seaweed import ADMIN, BUCKET, REMOVER, SHREDDER, TENANT
from strongroom_server.dev.stack import Stack
from tests.dev.stacks import bring_up, parts, pids

pytestmark = pytest.mark.e2e


def open_files(pid: int | None) -> list[tuple[str, str]]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append((link.name, str(link.readlink())))
    return found


def test_a_stack_has_all_it_writes_in_its_folder(stack: Stack) -> None:
    root = stack.layout.root
    sockets = {
        fields[6]: fields[7]
        for line in Path("/proc/net/unix").read_text("utf-8").splitlines()
        if len(fields := line.split()) == 8
    }
    for pid in pids(stack).values():
        for descriptor, target in open_files(pid):
            if target.startswith("socket:["):
                # Relative to the process's folder, or one without a name.
                assert not sockets.get(target[8:-1], "").startswith("/")
            elif target.startswith("/") and target != "/dev/null":
                info = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text("utf-8")
                flags = int(info.split("flags:")[1].split()[0], 8)
                writes = flags & os.O_ACCMODE != os.O_RDONLY
                assert not writes or Path(target).is_relative_to(root), target
        assert Path(f"/proc/{pid}/cwd").readlink().is_relative_to(root)
    ports = {process.port for process in stack.status()}
    left = [path.name for path in Path(os.path.realpath("/tmp")).iterdir()]  # noqa: S108
    assert not [name for name in left for port in ports if str(port) in name]


def test_a_stack_listens_on_the_loopback_only(stack: Stack) -> None:
    inodes = {
        target[8:-1]
        for pid in pids(stack).values()
        for _, target in open_files(pid)
        if target.startswith("socket:[")
    }
    for table, loopback in (("tcp", "0100007F"), ("tcp6", None)):
        for line in Path(f"/proc/net/{table}").read_text("utf-8").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                assert fields[1].split(":")[0] == loopback


def test_secrets_are_in_their_own_files_only(stack: Stack) -> None:
    layout = stack.layout
    bao, weed = parts(stack)
    secrets = {
        bao.unseal_key(),
        weed.credentials(ADMIN).secret_key,
        weed.credentials(TENANT).secret_key,
        weed.credentials(REMOVER).secret_key,
        weed.credentials(SHREDDER).secret_key,
        *(
            approle(layout, path.name).secret_id_file.read_text("utf-8")
            for path in (layout.vault / "approle").iterdir()
        ),
    }
    homes = {
        *(layout.unseal_record, layout.store / "identities.json"),
        *map(layout.store_credentials, (ADMIN, TENANT, REMOVER, SHREDDER)),
        *layout.vault.glob("approle/*/secret_id"),
    }

    for pid in pids(stack).values():
        for name in ("cmdline", "environ"):
            shown = Path(f"/proc/{pid}/{name}").read_text("utf-8")
            assert not [secret for secret in secrets if secret in shown]
    for path in (path for path in layout.root.rglob("*") if path.is_file()):
        stored = path.read_bytes()
        if path in homes:
            assert path.stat().st_mode & 0o77 == 0
        else:
            assert not [secret for secret in secrets if secret.encode() in stored]


def test_nobody_else_may_enter_the_folder(stack: Stack) -> None:
    folders = [stack.layout.root, *stack.layout.root.rglob("*/")]

    assert all(folder.stat().st_mode & 0o77 == 0 for folder in folders)
    assert (stack.layout.root / ".gitignore").read_text("utf-8") == "*\n"


def test_no_root_token_is_left(stack: Stack) -> None:
    bao, _ = parts(stack)
    provisioner = approle(stack.layout, PROVISIONER_APPROLE).log_in(bao.client())
    own = bao.make_root_token(provisioner)
    root = bao.client(own)

    _, answer = root.exchange("LIST", "auth/token/accessors")
    data = answer["data"]
    assert isinstance(data, dict)
    roots = []
    for accessor in data["keys"]:
        body = {"accessor": accessor}
        status, token = root.exchange("POST", "auth/token/lookup-accessor", body)
        if status == 200 and "root" in str(token["data"]):
            roots.append(accessor)
    root.write("auth/token/revoke-self")

    assert len(roots) == 1
    assert own not in "".join(
        path.read_text("utf-8", "replace")
        for path in stack.layout.root.rglob("*")
        if path.is_file() and path.suffix != ".db"
    )


def test_a_changed_policy_is_applied_without_a_stored_root_token(stack: Stack) -> None:
    bao, _ = parts(stack)
    layout = stack.layout
    provisioner = approle(layout, PROVISIONER_APPROLE).log_in(bao.client())
    root = bao.client(bao.make_root_token(provisioner))
    nothing = 'path "nothing" { capabilities = ["deny"] }'
    root.write(f"sys/policies/acl/{SERVER_APPROLE}", {"policy": nothing})
    root.write("auth/token/revoke-self")
    server = approle(layout, SERVER_APPROLE)
    assert (
        server.log_in(bao.client()).exchange("GET", "transit/keys/sr.store")[0] == 403
    )
    secret_id = server.secret_id_file.read_text("utf-8")
    write_record(layout.vault / "provisioned.json", {"digest": "of an older version"})

    lines = bring_up(stack)

    assert "vault: engines, keys and policies applied, root token revoked" in lines
    assert (
        server.log_in(bao.client()).exchange("GET", "transit/keys/sr.store")[0] == 200
    )
    assert server.secret_id_file.read_text("utf-8") == secret_id


def test_the_server_cannot_destroy_what_it_stored(stack: Stack) -> None:
    _, weed = parts(stack)
    s3 = weed.client(TENANT)
    version = s3.put_object(Bucket=BUCKET, Key="held", Body=b"x")["VersionId"]
    place = {"Bucket": BUCKET, "Key": "held"}
    suspended = {"VersioningConfiguration": {"Status": "Suspended"}}

    refused: list[Callable[[], object]] = [
        lambda: s3.delete_object(**place, VersionId=version),
        lambda: s3.put_bucket_versioning(Bucket=BUCKET, **suspended),
        lambda: s3.delete_bucket(Bucket=BUCKET),
        lambda: s3.create_bucket(Bucket="another"),
        lambda: s3.delete_bucket_policy(Bucket=BUCKET),
        lambda: s3.put_bucket_policy(Bucket=BUCKET, Policy="{}"),
    ]
    for call in refused:
        with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
            call()
    s3.delete_object(**place)

    body = s3.get_object(**place, VersionId=version)["Body"].read()
    listed = s3.list_object_versions(Bucket=BUCKET, Prefix="held")
    s3.close()
    assert body == b"x"
    assert len(listed["Versions"]) == len(listed["DeleteMarkers"]) == 1

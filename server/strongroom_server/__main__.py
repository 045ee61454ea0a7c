# SPDX-License-Identifier: Apache-2.0
"""The program `strongroom-server`: serve, look at settings, check the audit log."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from strongroom.errors import InvalidArgumentError, StrongroomError
from strongroom_server.core import vault_policy


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; the errors' own codes on failure."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except StrongroomError as error:
        sys.stderr.write(f"error: {error.message}\n")
        sys.stderr.write(f"  reason: {error.code} {error.reason.value}\n")
        if error.hint:
            sys.stderr.write(f"  next: {error.hint}\n")
        return error.exit_code
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.command == "vault":
        sys.stdout.write(_policy(options))
        return
    # Late, so that --help and the policy need neither gRPC nor S3's client.
    from strongroom_server import app  # noqa: PLC0415

    match options.command, getattr(options, "action", ""):
        case "serve", _:
            app.serve(options.config)
        case "config", "show":
            sys.stdout.write(app.show_config(options.config))
        case "config", _:
            app.show_config(options.config)
            sys.stdout.write(f"{options.config}: ok\n")
        case _:
            summary = asdict(app.verify_audit(options.config))
            sys.stdout.write(json.dumps(summary) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="strongroom-server", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve until SIGTERM")
    _add_config(serve)
    config = commands.add_parser("config", help="look at the settings")
    config.add_argument("action", choices=["check", "show"])
    _add_config(config)
    audit = commands.add_parser("audit", help="check the audit log, offline")
    audit.add_argument("action", choices=["verify"])
    _add_config(audit)
    _add_vault(commands.add_parser("vault", help="print a policy for Vault"))
    return parser


def _add_vault(vault: argparse.ArgumentParser) -> None:
    names = vault_policy.DEFAULT_NAMES
    vault.add_argument("action", choices=["policy"])
    vault.add_argument("--role", choices=sorted(vault_policy.ROLES), default="server")
    vault.add_argument("--mount", default=names.mount, help="of transit")
    vault.add_argument("--pki-mount", default=names.pki_mount)
    vault.add_argument("--pki-role", default=names.pki_role, help="of the server")
    vault.add_argument("--client-pki-role", default=names.client_pki_role)
    vault.add_argument("--approvers", default=names.approvers, help="a group's name")
    vault.add_argument("--approvals", type=int, default=names.approvals)
    vault.add_argument(
        "--project", action="append", default=[], help="the id of one; else all"
    )


def _policy(options: argparse.Namespace) -> str:
    try:
        names = vault_policy.Names(
            mount=options.mount,
            pki_mount=options.pki_mount,
            pki_role=options.pki_role,
            client_pki_role=options.client_pki_role,
            approvers=options.approvers,
            approvals=options.approvals,
            projects=tuple(options.project),
        )
    except ValueError as error:
        raise InvalidArgumentError(str(error)) from error
    return vault_policy.ROLES[options.role](names)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, required=True, help="the settings file, TOML"
    )


if __name__ == "__main__":
    sys.exit(main())

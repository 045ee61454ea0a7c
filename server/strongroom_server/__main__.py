# SPDX-License-Identifier: Apache-2.0
"""The program `strongroom-server`: serve, look at settings, check the log, witness."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from strongroom.errors import InvalidArgumentError, StrongroomError
from strongroom_server.core import vault_policy
from strongroom_server.replica_arguments import (
    add_promote,
    add_replicate,
    add_status,
)
from strongroom_server.restore_arguments import add_restore, run_restore

SIDECAR = "sidecar"
_REPLICA_COMMANDS = {
    "replicate": ("make a bucket follow a store's, until SIGTERM", add_replicate),
    "replica": ("how far a replica is behind", add_status),
    "promote": ("make a replica a store of its own, for good", add_promote),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; the errors' own codes on failure."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # The role may stand alone: it is what is served as.
    if given[:1] == ["--role"]:
        given = ["serve", *given]
    options = _parser().parse_args(given)
    try:
        _run(options)
    except StrongroomError as error:
        sys.stderr.write(_told(error, as_json=getattr(options, "json", False)))
        return error.exit_code
    return 0


def _told(error: StrongroomError, *, as_json: bool) -> str:
    """Return what is said of an error, as `strongroom` says it, too."""
    if as_json:
        line = {
            "message_type": "exit_error",
            "code": error.code,
            "reason": error.reason.value,
            "message": error.message,
            "hint": error.hint,
            "metadata": error.metadata,
            "retriable": error.retriable,
            "exit_code": error.exit_code,
        }
        return json.dumps(line, default=str) + "\n"
    # What others wrote cannot steer the terminal, or pass itself off as a line of ours.
    clean = (c if c.isprintable() else f"\\x{ord(c):02x}" for c in error.message)
    told = f"strongroom-server: {''.join(clean)}\n"
    told += f"  why:  {error.code} {error.reason.value}\n"
    return told + (f"  next: {error.hint}\n" if error.hint else "")


def _run(options: argparse.Namespace) -> None:
    others = {
        "restore": run_restore,
        "vault": _print_policy,
        "witness": _witness,
        **dict.fromkeys(_REPLICA_COMMANDS, _replica),
    }
    if options.command in others:
        others[options.command](options)
        return
    if getattr(options, "role", "") == SIDECAR:
        _sidecar(options)
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


def _sidecar(options: argparse.Namespace) -> None:
    # Late, as above, and alone: a sidecar needs no client of S3 or Vault.
    from strongroom_server import sidecar_program  # noqa: PLC0415

    if options.command == "serve":
        sidecar_program.serve(options.config)
        return
    shown = sidecar_program.show_config(options.config)
    sys.stdout.write(shown if options.action == "show" else f"{options.config}: ok\n")


def _witness(options: argparse.Namespace) -> None:
    # Late, as above.
    from strongroom_server import witness_program  # noqa: PLC0415

    match options.action:
        case "init":
            sys.stdout.write(witness_program.create(options.folder, options.name))
        case "keys":
            sys.stdout.write(witness_program.public_keys(options.folder))
        case _:
            witness_program.serve(
                witness_program.WitnessOptions(
                    folder=options.folder,
                    listen=options.listen,
                    log_keys=options.log_keys,
                    tls_cert=options.tls_cert,
                    tls_key=options.tls_key,
                )
            )


def _replica(options: argparse.Namespace) -> None:
    # Late, as above: no key and no Vault.
    from strongroom_server import replica_program  # noqa: PLC0415

    write, config = _write, options.config
    match options.command:
        case "replicate":
            replica_program.replicate(config, once=options.once, write=write)
        case "promote":
            told = replica_program.promote(
                config, force=options.force, stopped=options.stopped
            )
            write(told)
        case _:
            replica_program.status(config, write=write)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="strongroom-server", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve until SIGTERM")
    _add_role(serve)
    _add_config(serve)
    config = commands.add_parser("config", help="look at the settings")
    config.add_argument("action", choices=["check", "show"])
    _add_role(config)
    _add_config(config)
    audit = commands.add_parser("audit", help="check the audit log, offline")
    audit.add_argument("action", choices=["verify"])
    _add_config(audit)
    _add_vault(commands.add_parser("vault", help="print a policy for Vault"))
    _add_witness(commands.add_parser("witness", help="watch over an audit log"))
    for name, (about, add) in _REPLICA_COMMANDS.items():
        added = commands.add_parser(name, help=about)
        add(added)
        _add_config(added)
    add_restore(commands.add_parser("restore", help="from a backup, without a server"))
    return parser


def _add_witness(witness: argparse.ArgumentParser) -> None:
    actions = witness.add_subparsers(dest="action", required=True)
    init = actions.add_parser("init", help="make keys and an empty memory")
    init.add_argument("--name", required=True, help="such as witness.example.org/w1")
    keys = actions.add_parser("keys", help="print the public keys")
    serve = actions.add_parser("serve", help="serve until SIGTERM")
    for parser in (init, keys, serve):
        parser.add_argument("--folder", type=Path, required=True)
    serve.add_argument("--listen", default="127.0.0.1:7540", help="host:port")
    serve.add_argument(
        "--log-keys", type=Path, action="append", required=True,
        help="what `strongroom audit keys` printed",
    )  # fmt: skip
    serve.add_argument("--tls-cert", type=Path, help="else on loopback only")
    serve.add_argument("--tls-key", type=Path)


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
        "--no-control-group", action="store_true", help="Vault asks no approvers"
    )
    vault.add_argument(
        "--project", action="append", default=[], help="the id of one; else all"
    )


def _print_policy(options: argparse.Namespace) -> None:
    sys.stdout.write(_policy(options))


def _policy(options: argparse.Namespace) -> str:
    try:
        names = vault_policy.Names(
            mount=options.mount,
            pki_mount=options.pki_mount,
            pki_role=options.pki_role,
            client_pki_role=options.client_pki_role,
            approvers=options.approvers,
            approvals=options.approvals,
            control_group=not options.no_control_group,
            projects=tuple(options.project),
        )
    except ValueError as error:
        raise InvalidArgumentError(str(error)) from error
    return vault_policy.ROLES[options.role](names)


def _add_role(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--role", choices=["central", SIDECAR], default="central",
        help="central decides and holds keys; a sidecar reads for one pod",
    )  # fmt: skip


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, required=True, help="the settings file, TOML"
    )


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Reading settings: a TOML file, overridden by the environment; nothing unknown."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from strongroom_server.config.backups import check_backup, check_drill
from strongroom_server.config.sections import (
    ApprovalsSection,
    AuditSection,
    CopySection,
    GrantsSection,
    IdentitySection,
    OperatorsSection,
    ServerSettings,
    VaultSection,
    WitnessSection,
)
from strongroom_server.config.tables import (
    check_url,
    format_sections,
    load_sections,
    read_document,
    read_environ,
    read_list,
    setting_error,
)

#: URLs of S3 hold for a week at most.
_MAX_LIFETIME_S: Final = 6 * 86_400
#: Longer than that nobody is to wait for a person.
_MAX_APPROVAL_S: Final = 86_400
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
#: The sections that there may be several of.
_COPIES: Final = "copies"
_WITNESSES: Final = "witnesses"
_LISTS: Final = frozenset({_COPIES, _WITNESSES})
#: A part of keys in the bucket.
_LOG_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")

#: The files that each way to log in to Vault needs, and whether it needs a role.
_LOGINS: Final[Mapping[str, tuple[frozenset[str], bool]]] = {
    "approle": (frozenset({"role_id_file", "secret_id_file"}), False),
    "jwt": (frozenset({"jwt_file"}), True),
    "kubernetes": (frozenset({"jwt_file"}), True),
    "cert": (frozenset({"cert_file", "key_file"}), False),
    "token": (frozenset({"token_file"}), False),
}


def read_settings(path: Path) -> ServerSettings:
    """Read a settings file and the environment.

    Raises:
        InvalidArgumentError: The file cannot be read or is not TOML, or as
            `load_settings` (SETTING_INVALID).
    """
    return load_settings(read_document(path), read_environ())


def load_settings(
    document: Mapping[str, object], environ: Mapping[str, str]
) -> ServerSettings:
    """Make settings of a decoded file and the environment; pure.

    Raises:
        InvalidArgumentError: A setting is unknown, missing, of another type, or
            cannot be (SETTING_INVALID).
    """
    settings = load_sections(
        ServerSettings,
        document,
        environ,
        copies=read_list(_COPIES, CopySection, document),
        witnesses=read_list(_WITNESSES, WitnessSection, document),
    )
    _check(settings)
    return settings


def format_settings(settings: ServerSettings) -> str:
    """Return the settings as a TOML file that would be understood the same."""
    return format_sections(settings, lists=_LISTS)


def _check_lists(settings: ServerSettings) -> None:
    for copy in settings.copies:
        _check_copy(copy)
    for witness in settings.witnesses:
        check_url(f"{_WITNESSES}.url", witness.url)


def _check_copy(copy: CopySection) -> None:
    in_bucket = (copy.endpoint, copy.bucket, copy.credentials_file)
    if (copy.path is None) == (not any(in_bucket)):
        message = f"copy {copy.name!r} needs either a path or a bucket"
        raise setting_error(message)
    if copy.path is None:
        if not all(in_bucket):
            message = f"copy {copy.name!r} needs endpoint, bucket and credentials_file"
            raise setting_error(message)
        check_url(f"{_COPIES}.endpoint", copy.endpoint)


def _check(settings: ServerSettings) -> None:
    check_url("store.endpoint", settings.store.endpoint)
    check_url("vault.address", settings.vault.address)
    _check_login(settings.vault)
    for role in ("key_admin", "key_destroyer"):
        files = [
            getattr(settings.vault, f"{role}_{name}_file")
            for name in ("role_id", "secret_id")
        ]
        if (files[0] is None) != (files[1] is None):
            message = f"vault.{role}_role_id_file and _secret_id_file belong together"
            raise setting_error(message)
    if not settings.store.shred_watch_s:
        message = "the setting store.shred_watch_s cannot be 0"
        raise setting_error(message)
    if settings.telemetry.otlp_endpoint:
        check_url("telemetry.otlp_endpoint", settings.telemetry.otlp_endpoint)
    for name in ("max_calls", "stall_s", "short_s", "long_s", "stream_s", "probe_s"):
        if not getattr(settings.listen, name):
            message = f"the setting listen.{name} cannot be 0"
            raise setting_error(message)
    if not settings.workers.threads:
        message = "the setting workers.threads cannot be 0"
        raise setting_error(message)
    _check_log(settings.audit)
    _check_identity(settings.identity)
    _check_lists(settings)
    _check_operators(settings.operators)
    _check_approvals(settings.approvals)
    _check_grants(settings.grants)
    _check_uids(settings.shared_memory.uids)
    _check_backups(settings)


def _check_backups(settings: ServerSettings) -> None:
    store, backup = settings.store, settings.backup
    if backup.endpoint:
        check_url("backup.endpoint", backup.endpoint)
    files = (
        store.credentials_file,
        store.remover_credentials_file,
        store.shredder_credentials_file,
    )
    check_backup(backup, endpoint=store.endpoint, credentials_files=files)
    check_drill(settings.drill, backup)


def _check_uids(uids: tuple[str, ...]) -> None:
    if not all(uid.isdecimal() for uid in uids):
        message = "shared_memory.uids are numbers of users, as texts"
        raise setting_error(message)


def _check_grants(grants: GrantsSection) -> None:
    if not 0 < grants.lifetime_s <= _MAX_LIFETIME_S:
        message = f"the setting grants.lifetime_s is 1 to {_MAX_LIFETIME_S} seconds"
        raise setting_error(message)


def _check_log(audit: AuditSection) -> None:
    if not _LOG_NAME.fullmatch(audit.log):
        message = f"audit.log is {audit.log!r}, which is no name of a log"
        raise setting_error(message)


def _check_identity(identity: IdentitySection) -> None:
    files = {identity.cert_file, identity.key_file, identity.ca_file}
    if None in files and files != {None}:
        message = "identity.cert_file, key_file and ca_file belong together"
        raise setting_error(message)
    if identity.workload_socket and files != {None}:
        message = "identity.workload_socket and cert_file exclude each other"
        raise setting_error(message)
    if identity.pq not in {"allow", "require"}:
        message = f"the setting identity.pq cannot be {identity.pq!r}: allow or require"
        raise setting_error(message)


def _check_operators(operators: OperatorsSection) -> None:
    if bool(operators.issuer) != bool(operators.audience):
        message = "operators.issuer and audience belong together"
        raise setting_error(message)
    parts = urlsplit(operators.issuer)
    good = parts.scheme == "https" and parts.hostname and not parts.username
    if operators.issuer and (not good or parts.query or parts.fragment):
        message = (
            f"the setting operators.issuer cannot be {operators.issuer!r}: it is "
            "https://…, without query and fragment"
        )
        raise setting_error(message)
    if bool(operators.rp_id) != bool(operators.credentials_file):
        message = "operators.rp_id and credentials_file belong together"
        raise setting_error(message)
    if operators.rp_id and not _HOST.fullmatch(operators.rp_id):
        message = f"operators.rp_id cannot be {operators.rp_id!r}: it is a host name"
        raise setting_error(message)
    if not operators.name_claim or not operators.session_s:
        message = "operators.name_claim and session_s cannot be empty or 0"
        raise setting_error(message)


def _check_approvals(approvals: ApprovalsSection) -> None:
    if not 0 < approvals.expire_s <= _MAX_APPROVAL_S or not approvals.max_pending:
        message = (
            f"approvals.expire_s is 1 to {_MAX_APPROVAL_S} seconds, and "
            "approvals.max_pending not 0"
        )
        raise setting_error(message)


def _check_login(vault: VaultSection) -> None:
    """Check that a way to log in has the files that it needs, and no others."""
    if vault.auth not in _LOGINS:
        ways = ", ".join(sorted(_LOGINS))
        message = (
            f"the setting vault.auth cannot be {vault.auth!r}; it is one of {ways}"
        )
        raise setting_error(message)
    needed, needs_role = _LOGINS[vault.auth]
    given = set(vault.login_files)
    missing = sorted(needed - given)
    if needs_role and not vault.auth_role:
        missing = ["auth_role", *missing]
    if missing:
        message = f"vault.auth {vault.auth!r} needs the setting vault.{missing[0]}"
        raise setting_error(message)
    surplus = sorted(given - needed)
    if surplus:
        message = f"vault.auth {vault.auth!r} has no use for vault.{surplus[0]}"
        raise setting_error(message)

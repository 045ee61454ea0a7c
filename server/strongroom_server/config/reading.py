# SPDX-License-Identifier: Apache-2.0
"""Reading settings: a TOML file, overridden by the environment; nothing unknown."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints
from urllib.parse import urlsplit

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.config.sections import (
    ApprovalsSection,
    AuditSection,
    CopySection,
    IdentitySection,
    OperatorsSection,
    ServerSettings,
    VaultSection,
    WitnessSection,
)

#: Variables with this prefix are settings; all others are none of our business.
PREFIX: Final = "STRONGROOM__"
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

Section = TypeVar("Section")


def read_settings(path: Path) -> ServerSettings:
    """Read a settings file and the environment.

    Raises:
        InvalidArgumentError: The file cannot be read or is not TOML, or as
            `load_settings` (SETTING_INVALID).
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        message = f"settings file {path} cannot be read: {cause}"
        raise _invalid(message) from error
    return load_settings(document, os.environ)


def load_settings(
    document: Mapping[str, object], environ: Mapping[str, str]
) -> ServerSettings:
    """Make settings of a decoded file and the environment; pure.

    Raises:
        InvalidArgumentError: A setting is unknown, missing, of another type, or
            cannot be (SETTING_INVALID).
    """
    tables = _tables(document)
    copies = _sections(_COPIES, CopySection, document)
    witnesses = _sections(_WITNESSES, WitnessSection, document)
    for name, value in environ.items():
        if name.startswith(PREFIX):
            section, _, key = name.removeprefix(PREFIX).lower().partition("__")
            tables.setdefault(section, {})[key] = value
    sections = get_type_hints(ServerSettings)
    sections = {name: cls for name, cls in sections.items() if name not in _LISTS}
    unknown = sorted(set(tables) - set(sections))
    if unknown:
        message = f"[{unknown[0]}] is not a section of the settings"
        raise _invalid(message)
    settings = ServerSettings(
        **{
            name: _make_section(name, cls, tables.get(name, {}))
            for name, cls in sections.items()
        },
        copies=copies,
        witnesses=witnesses,
    )
    _check(settings)
    return settings


def format_settings(settings: ServerSettings) -> str:
    """Return the settings as a TOML file that would be understood the same."""
    sections = asdict(settings)
    lists = {name: sections.pop(name) for name in sorted(_LISTS)}
    parts = [_format_table(f"[{name}]", section) for name, section in sections.items()]
    parts += [
        _format_table(f"[[{name}]]", section)
        for name, tables in lists.items()
        for section in tables
    ]
    return "\n".join(parts)


def _format_table(heading: str, table: Mapping[str, object]) -> str:
    lines = [
        f"{key} = {_format_value(value)}\n"
        for key, value in table.items()
        if value is not None
    ]
    return f"{heading}\n" + "".join(lines)


def _tables(document: Mapping[str, object]) -> dict[str, dict[str, object]]:
    tables: dict[str, dict[str, object]] = {}
    for name, table in document.items():
        if name in _LISTS:
            continue
        if not isinstance(table, Mapping):
            message = f"{name} is not a section of the settings"
            raise _invalid(message)
        tables[name] = dict(table)
    return tables


def _sections(
    name: str, cls: type[Section], document: Mapping[str, object]
) -> tuple[Section, ...]:
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        message = f"{name} is not a list of tables: write [[{name}]]"
        raise _invalid(message)
    return tuple(_make_section(name, cls, item) for item in value)


def _check_lists(settings: ServerSettings) -> None:
    for copy in settings.copies:
        _check_copy(copy)
    for witness in settings.witnesses:
        _check_url(f"{_WITNESSES}.url", witness.url)


def _check_copy(copy: CopySection) -> None:
    in_bucket = (copy.endpoint, copy.bucket, copy.credentials_file)
    if (copy.path is None) == (not any(in_bucket)):
        message = f"copy {copy.name!r} needs either a path or a bucket"
        raise _invalid(message)
    if copy.path is None:
        if not all(in_bucket):
            message = f"copy {copy.name!r} needs endpoint, bucket and credentials_file"
            raise _invalid(message)
        _check_url(f"{_COPIES}.endpoint", copy.endpoint)


def _make_section(
    name: str, cls: type[Section], table: Mapping[str, object]
) -> Section:
    types = get_type_hints(cls)
    unknown = sorted(set(table) - set(types))
    if unknown:
        message = f"{name}.{unknown[0]} is not a setting"
        raise _invalid(message)
    values: dict[str, Any] = {}
    for item in _fields(cls):
        key = f"{name}.{item.name}"
        if item.name in table:
            values[item.name] = _parse(key, types[item.name], table[item.name])
        elif item.default is MISSING and item.default_factory is MISSING:
            message = f"the setting {key} is missing"
            raise _invalid(message)
    return cls(**values)


def _fields(cls: Any) -> tuple[Field[Any], ...]:  # noqa: ANN401 - any dataclass
    return fields(cls)


def _parse(key: str, wanted: object, value: object) -> object:
    """Return a value of the wanted type; texts of the environment are parsed."""
    try:
        if wanted == tuple[str, ...]:
            return _parse_list(value)
        if wanted is bool:
            return _parse_flag(value)
        if wanted in {int, float}:
            return _parse_number(wanted, value)
    except ValueError as error:
        message = f"the setting {key} cannot be {value!r}"
        raise _invalid(message) from error
    if not isinstance(value, str):
        message = f"the setting {key} cannot be {value!r}; it is a text"
        raise _invalid(message)
    if wanted is str:
        return value
    if not value:
        message = f"the setting {key} is empty; it is a path"
        raise _invalid(message)
    return Path(value)


def _parse_list(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return tuple(value)
    message = "not a list of texts"
    raise ValueError(message)


def _parse_flag(value: object) -> bool:
    flags: dict[object, bool] = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in flags:
        return flags[value]
    message = "not true or false"
    raise ValueError(message)


def _parse_number(wanted: object, value: object) -> float:
    number = float("nan" if isinstance(value, bool) else str(value))
    if not 0 <= number < float("inf") or (wanted is int and number % 1):
        message = "not a number of that kind"
        raise ValueError(message)
    return int(number) if wanted is int else number


def _check(settings: ServerSettings) -> None:
    _check_url("store.endpoint", settings.store.endpoint)
    _check_url("vault.address", settings.vault.address)
    _check_login(settings.vault)
    for role in ("key_admin", "key_destroyer"):
        files = [
            getattr(settings.vault, f"{role}_{name}_file")
            for name in ("role_id", "secret_id")
        ]
        if (files[0] is None) != (files[1] is None):
            message = f"vault.{role}_role_id_file and _secret_id_file belong together"
            raise _invalid(message)
    if not settings.store.shred_watch_s:
        message = "the setting store.shred_watch_s cannot be 0"
        raise _invalid(message)
    if settings.telemetry.otlp_endpoint:
        _check_url("telemetry.otlp_endpoint", settings.telemetry.otlp_endpoint)
    for name in ("max_calls", "stall_s", "short_s", "long_s", "stream_s", "probe_s"):
        if not getattr(settings.listen, name):
            message = f"the setting listen.{name} cannot be 0"
            raise _invalid(message)
    if not settings.workers.threads:
        message = "the setting workers.threads cannot be 0"
        raise _invalid(message)
    _check_log(settings.audit)
    _check_identity(settings.identity)
    _check_lists(settings)
    _check_operators(settings.operators)
    _check_approvals(settings.approvals)


def _check_log(audit: AuditSection) -> None:
    if not _LOG_NAME.fullmatch(audit.log):
        message = f"audit.log is {audit.log!r}, which is no name of a log"
        raise _invalid(message)


def _check_identity(identity: IdentitySection) -> None:
    files = {identity.cert_file, identity.key_file, identity.ca_file}
    if None in files and files != {None}:
        message = "identity.cert_file, key_file and ca_file belong together"
        raise _invalid(message)
    if identity.workload_socket and files != {None}:
        message = "identity.workload_socket and cert_file exclude each other"
        raise _invalid(message)
    if identity.pq not in {"allow", "require"}:
        message = f"the setting identity.pq cannot be {identity.pq!r}: allow or require"
        raise _invalid(message)


def _check_operators(operators: OperatorsSection) -> None:
    if bool(operators.issuer) != bool(operators.audience):
        message = "operators.issuer and audience belong together"
        raise _invalid(message)
    parts = urlsplit(operators.issuer)
    good = parts.scheme == "https" and parts.hostname and not parts.username
    if operators.issuer and (not good or parts.query or parts.fragment):
        message = (
            f"the setting operators.issuer cannot be {operators.issuer!r}: it is "
            "https://…, without query and fragment"
        )
        raise _invalid(message)
    if bool(operators.rp_id) != bool(operators.credentials_file):
        message = "operators.rp_id and credentials_file belong together"
        raise _invalid(message)
    if operators.rp_id and not _HOST.fullmatch(operators.rp_id):
        message = f"operators.rp_id cannot be {operators.rp_id!r}: it is a host name"
        raise _invalid(message)
    if not operators.name_claim or not operators.session_s:
        message = "operators.name_claim and session_s cannot be empty or 0"
        raise _invalid(message)


def _check_approvals(approvals: ApprovalsSection) -> None:
    if not 0 < approvals.expire_s <= _MAX_APPROVAL_S or not approvals.max_pending:
        message = (
            f"approvals.expire_s is 1 to {_MAX_APPROVAL_S} seconds, and "
            "approvals.max_pending not 0"
        )
        raise _invalid(message)


def _check_login(vault: VaultSection) -> None:
    """Check that a way to log in has the files that it needs, and no others."""
    if vault.auth not in _LOGINS:
        ways = ", ".join(sorted(_LOGINS))
        message = (
            f"the setting vault.auth cannot be {vault.auth!r}; it is one of {ways}"
        )
        raise _invalid(message)
    needed, needs_role = _LOGINS[vault.auth]
    given = set(vault.login_files)
    missing = sorted(needed - given)
    if needs_role and not vault.auth_role:
        missing = ["auth_role", *missing]
    if missing:
        message = f"vault.auth {vault.auth!r} needs the setting vault.{missing[0]}"
        raise _invalid(message)
    surplus = sorted(given - needed)
    if surplus:
        message = f"vault.auth {vault.auth!r} has no use for vault.{surplus[0]}"
        raise _invalid(message)


def _check_url(key: str, url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and _is_loopback(host):
        return
    message = f"the setting {key} cannot be {url!r}: neither https nor on loopback"
    raise _invalid(message)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _format_value(value: object) -> str:
    # JSON's texts, numbers, flags and lists are TOML's, once DEL is escaped.
    plain = str(value) if isinstance(value, Path) else value
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")


def _invalid(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        message,
        reason=Reason.SETTING_INVALID,
        hint="Mend it, then run `strongroom-server config check`.",
    )

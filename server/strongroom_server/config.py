# SPDX-License-Identifier: Apache-2.0
"""The server's settings: a TOML file, overridden by `STRONGROOM__SECTION__KEY`.

Unknown sections, keys and variables are refused. Secrets are never settings: a
setting names the file that holds one.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints
from urllib.parse import urlsplit

from strongroom.errors import InvalidArgumentError, Reason

#: Variables with this prefix are settings; all others are none of our business.
PREFIX: Final = "STRONGROOM__"

Section = TypeVar("Section")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSection:
    """`[store]`: the bucket.

    Attributes:
        endpoint: The URL of S3; `http://` on loopback only.
        bucket: Versioned; made before.
        credentials_file: JSON with `access_key` and `secret_key`.
        region: Any name will do for stores that have none.
        prefix: Put before every key.
        ca_file: Certificates to trust for `endpoint`; the public ones if missing.
        fips: Whether to use NIST's algorithms only.
    """

    endpoint: str
    bucket: str
    credentials_file: Path
    region: str = "us-east-1"
    prefix: str = ""
    ca_file: Path | None = None
    fips: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultSection:
    """`[vault]`: where keys live.

    Attributes:
        address: The URL of Vault; `http://` on loopback only.
        role_id_file: The AppRole's role id.
        secret_id_file: The AppRole's secret id.
        ca_file: Certificates to trust for `address`; the public ones if missing.
        transit_mount: Where the transit engine is mounted.
        approle_mount: Where AppRole is mounted, below `auth/`.
    """

    address: str
    role_id_file: Path
    secret_id_file: Path
    ca_file: Path | None = None
    transit_mount: str = "transit"
    approle_mount: str = "approle"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySection:
    """`[identity]`: the server's certificate, and whose it accepts.

    Attributes:
        trust_domain: The only SPIFFE trust domain of callers.
        spiffe_id: The server's own id.
        caller_paths: Path patterns of callers' ids, `*` for any one segment.
        dns_names: Names that callers know the server by.
        ip_addresses: Addresses that callers know the server by.
        pki_mount: Where Vault's PKI engine is mounted.
        pki_role: The PKI role of the server's certificate.
        certificate_ttl_s: The lifetime to ask for; renewed at half of it.
        cert_file: A certificate chain that somebody else renews, instead of PKI.
        key_file: Its private key.
        ca_file: The authority of callers, with `cert_file`.
    """

    trust_domain: str
    spiffe_id: str
    caller_paths: tuple[str, ...] = ("/ns/*/sa/*/job/*",)
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    pki_mount: str = "pki"
    pki_role: str = "strongroom-server"
    certificate_ttl_s: int = 86_400
    cert_file: Path | None = None
    key_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSection:
    """`[listen]`: addresses and limits.

    Attributes:
        data: `host:port` for callers, mTLS.
        health: `host:port` for probes.
        admin: `unix:PATH`, or `host:port` on loopback.
        max_calls: Calls served at once.
        stall_s: How long a peer may take or send nothing.
        short_s: How long a listing or a change may take.
        long_s: How long a comparison or a check may take.
        stream_s: How long a transfer or a verification may take.
        probe_s: Between two looks at Vault and S3.
        drain_delay_s: Between "not ready" and refusing calls.
        grace_s: What running calls have to end when the server stops.
    """

    data: str
    health: str
    admin: str
    max_calls: int = 64
    stall_s: float = 60.0
    short_s: float = 60.0
    long_s: float = 600.0
    stream_s: float = 86_400.0
    probe_s: float = 5.0
    drain_delay_s: float = 0.0
    grace_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSection:
    """`[index]`: the local cache, which may be deleted at any time.

    Attributes:
        path: A directory of its own.
        map_size_bytes: Address space to begin with; it grows by itself.
    """

    path: Path
    map_size_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSection:
    """`[audit]`: the log of every call.

    Attributes:
        path: A directory of its own, on a disk that keeps what it is given.
    """

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSection:
    """`[access]`: who may do what.

    Attributes:
        policy_file: TOML with `[roles]` and `[[bindings]]`.
    """

    policy_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySection:
    """`[telemetry]`: where spans go.

    Attributes:
        spans_file: JSON lines, one span each; none if missing.
        otlp_endpoint: An OTLP collector's URL; none if empty.
        service_name: What spans call this server.
    """

    spans_file: Path | None = None
    otlp_endpoint: str = ""
    service_name: str = "strongroom-server"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersSection:
    """`[workers]`: the threads that encrypt, decrypt and talk to S3.

    Attributes:
        threads: Shared by all calls.
    """

    threads: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """All settings, one attribute a section of the file."""

    store: StoreSection
    vault: VaultSection
    identity: IdentitySection
    listen: ListenSection
    index: IndexSection
    audit: AuditSection
    access: AccessSection
    telemetry: TelemetrySection = field(default_factory=TelemetrySection)
    workers: WorkersSection = field(default_factory=WorkersSection)


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
    for name, value in environ.items():
        if name.startswith(PREFIX):
            section, _, key = name.removeprefix(PREFIX).lower().partition("__")
            tables.setdefault(section, {})[key] = value
    sections = get_type_hints(ServerSettings)
    unknown = sorted(set(tables) - set(sections))
    if unknown:
        message = f"[{unknown[0]}] is not a section of the settings"
        raise _invalid(message)
    settings = ServerSettings(
        **{
            name: _make_section(name, cls, tables.get(name, {}))
            for name, cls in sections.items()
        }
    )
    _check(settings)
    return settings


def format_settings(settings: ServerSettings) -> str:
    """Return the settings as a TOML file that would be understood the same."""
    parts = []
    for name, section in asdict(settings).items():
        lines = [
            f"{key} = {_format_value(value)}\n"
            for key, value in section.items()
            if value is not None
        ]
        parts.append(f"[{name}]\n" + "".join(lines))
    return "\n".join(parts)


def _tables(document: Mapping[str, object]) -> dict[str, dict[str, object]]:
    tables: dict[str, dict[str, object]] = {}
    for name, table in document.items():
        if not isinstance(table, Mapping):
            message = f"{name} is not a section of the settings"
            raise _invalid(message)
        tables[name] = dict(table)
    return tables


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
    if settings.telemetry.otlp_endpoint:
        _check_url("telemetry.otlp_endpoint", settings.telemetry.otlp_endpoint)
    for name in ("max_calls", "stall_s", "short_s", "long_s", "stream_s", "probe_s"):
        if not getattr(settings.listen, name):
            message = f"the setting listen.{name} cannot be 0"
            raise _invalid(message)
    if not settings.workers.threads:
        message = "the setting workers.threads cannot be 0"
        raise _invalid(message)
    identity = settings.identity
    files = {identity.cert_file, identity.key_file, identity.ca_file}
    if None in files and files != {None}:
        message = "identity.cert_file, key_file and ca_file belong together"
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

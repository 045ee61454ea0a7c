# SPDX-License-Identifier: Apache-2.0
"""The client's settings, and the only place of the client that reads `os.environ`.

Each setting comes from the first of: an argument, a variable `STRONGROOM_…`, the
nearest `.strongroom/client.toml` above the working directory.
"""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from strongroom.errors import InvalidArgumentError, NotFoundError, Reason
from strongroom.format.lanes import SOCKET_SUFFIX

#: Where the nearest configuration is looked for, in each directory upward.
CONFIG_PATH: Final = Path(".strongroom", "client.toml")
MAX_CONFIG_BYTES: Final = 64 * 1024

_VARIABLES: Final = {
    "endpoint": "STRONGROOM_ENDPOINT",
    "ca_file": "STRONGROOM_CA_FILE",
    "cert_file": "STRONGROOM_CERT_FILE",
    "key_file": "STRONGROOM_KEY_FILE",
}
#: In place of a file that an agent gives.
NO_FILE: Final = Path()
#: The socket of a SPIFFE agent, as its standard calls it.
AGENT_VARIABLE: Final = "SPIFFE_ENDPOINT_SOCKET"
_PATHS: Final = (
    *("ca_file", "cert_file", "key_file", "spans_file"),
    *("login_ca_file", "login_folder", "security_key_file", "shared_socket"),
)
_TIMES: Final = ("call_timeout_s", "stall_timeout_s", "transfer_timeout_s")
#: How the endpoint of a sidecar begins.
_UNIX: Final = "unix:"
_STORE_ID: Final = re.compile(r"[0-9a-f]{32}\Z")
_MAX_TIMEOUT_S: Final = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Where the server is, how to prove who calls, and how long to wait.

    Paths are absolute. Nothing secret is held: keys stay in their files, or with the
    agent of `workload_socket`, which gives all three of them; a `ca_file` beside it
    counts in place of the agent's authorities.
    """

    #: `host:port`, and the host is checked against the server's certificate; or
    #: `unix:///…`, a sidecar's socket, where no certificate is needed.
    endpoint: str
    #: PEM: the authorities that the server's certificate may come from.
    ca_file: Path = NO_FILE
    #: PEM: the caller's certificate, then its chain.
    cert_file: Path = NO_FILE
    #: PEM: the private key of `cert_file`.
    key_file: Path = NO_FILE
    #: The SPIFFE Workload API: `unix:///…`; in place of the files.
    workload_socket: str = ""
    #: The SPIFFE id that `strongroom doctor` expects of the server; may be empty.
    server_spiffe_id: str = ""
    #: The trust domain of both sides; may be empty.
    trust_domain: str = ""
    #: The OIDC provider at which people sign in, `https://…`; may be empty.
    login_issuer: str = ""
    #: What the provider knows us as: a public client, without a secret.
    login_client_id: str = ""
    #: PEM: the authorities of the provider; the machine's own, unless given.
    login_ca_file: Path = NO_FILE
    #: What the provider is asked to tell of a person.
    login_scopes: str = "openid profile"
    #: Where logins are kept, each in a file for its owner only.
    login_folder: Path = NO_FILE
    #: The id of the store, 32 hex digits: people approve for no other one.
    store_id: str = ""
    #: Whom people's security keys sign for, a domain; the store's operators name it.
    relying_party: str = ""
    #: A software security key, for development, in place of a device.
    security_key_file: Path = NO_FILE
    #: The data socket of a server on this machine, which shares memory with readers.
    shared_socket: Path = NO_FILE
    #: Where the command line appends its spans, as JSON lines.
    spans_file: Path | None = None
    #: For calls that answer with one message, retries included, in seconds.
    call_timeout_s: float = 60.0
    #: How long a peer may send and take nothing, in seconds.
    stall_timeout_s: float = 60.0
    #: For one transfer as a whole, in seconds.
    transfer_timeout_s: float = 7 * 24 * 3600.0
    #: The file that the settings came from, if one was read.
    source: Path | None = field(default=None, compare=False)

    @property
    def data_socket(self) -> Path | None:
        """Where the server shares memory; None if it is on another machine."""
        if self.shared_socket != NO_FILE:
            return self.shared_socket
        beside = self.sidecar_socket
        return None if beside is None else Path(f"{beside}{SOCKET_SUFFIX}")

    @property
    def sidecar_socket(self) -> Path | None:
        """The socket of a sidecar, if `endpoint` is one."""
        path = self.endpoint.removeprefix(_UNIX)
        return None if path == self.endpoint else Path("/" + path.lstrip("/"))

    @property
    def host(self) -> str:
        """The host of `endpoint`, without the brackets of IPv6."""
        return self.endpoint.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port of `endpoint`."""
        return int(self.endpoint.rpartition(":")[2])


_REQUIRED: Final = tuple(_VARIABLES)
_KNOWN: Final = frozenset(item.name for item in fields(ClientSettings)) - {"source"}


def prepare_grpc() -> None:
    """Prepare gRPC's core by the only means it has; before `grpc` is imported first.

    Without fork support, a channel used before a fork breaks new ones in the child:
    4 of 12 runs failed and 8 of 12 aborted while a stream was open (grpcio 1.85.1).
    Its own log lines on standard error, one for each refused handshake, would stand
    between the lines of the error that says the same.
    """
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "1")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def load_settings(
    *,
    endpoint: str | None = None,
    config_file: str | os.PathLike[str] | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    cert_file: str | os.PathLike[str] | None = None,
    key_file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> ClientSettings:
    """Gather the settings.

    The nearest configuration is read only if arguments and environment leave
    something open, and only if nobody else could have written it.

    A certificate comes from an agent if no file is named and `workload_socket` or
    `SPIFFE_ENDPOINT_SOCKET` says where one is.

    Args:
        endpoint: `host:port`, or `unix:///…` for a sidecar.
        config_file: A configuration to read in place of the nearest one.
        ca_file: PEM file of authorities.
        cert_file: PEM file of the caller's certificate.
        key_file: PEM file of its key.
        environ: The environment; that of the process, unless given.
        directory: Where to look upward from; the working directory, unless given.

    Raises:
        InvalidArgumentError: Something is missing, unknown, malformed, or the
            nearest configuration belongs to somebody else (SETTING_INVALID).
        NotFoundError: The named configuration does not exist (PATH_NOT_FOUND).
    """
    variables = os.environ if environ is None else environ
    start = Path.cwd() if directory is None else directory
    arguments = {
        "endpoint": endpoint,
        "ca_file": ca_file,
        "cert_file": cert_file,
        "key_file": key_file,
    }
    given: dict[str, object] = {
        name: variables[variable]
        for name, variable in _VARIABLES.items()
        if variables.get(variable)
    }
    given |= {name: os.fspath(value) for name, value in arguments.items() if value}
    values: dict[str, object] = {}
    source: Path | None = None
    if named := config_file or variables.get("STRONGROOM_CONFIG"):
        source = start / os.fspath(named)
    elif not _is_enough(given):
        source = _find_config(start)
    if source is not None:
        values = _resolve_paths(_read_config(source), source.parent)
    values |= _resolve_paths(given, start)
    _choose_identity(values, variables.get(AGENT_VARIABLE, ""), source)
    if values.get("login_issuer"):
        values.setdefault("login_folder", _state_folder(variables) / "logins")
    return _make_settings(values, source, start)


def _is_enough(given: Mapping[str, object]) -> bool:
    """Tell whether nothing is open that the nearest configuration could say."""
    is_local = str(given.get("endpoint", "")).startswith(_UNIX)
    return is_local or all(name in given for name in _REQUIRED)


def _choose_identity(
    values: dict[str, object], agent: str, source: Path | None
) -> None:
    """Settle whether files or an agent give the certificate: files that are named."""
    files = [name for name in ("cert_file", "key_file") if values.get(name)]
    if not files:
        values.setdefault("workload_socket", agent)
    elif values.get("workload_socket"):
        raise _bad(source, "workload_socket", f"and {files[0]} exclude each other")


def _state_folder(variables: Mapping[str, str]) -> Path:
    """Return where programs keep what belongs to one person on one machine.

    Source:
        XDG Base Directory Specification 0.8: `XDG_STATE_HOME`, which is absolute.
    """
    named = Path(variables.get("XDG_STATE_HOME", ""))
    state = named if named.is_absolute() else Path.home() / ".local" / "state"
    return state / "strongroom"


def _make_settings(
    values: dict[str, object], source: Path | None, start: Path
) -> ClientSettings:
    is_local = str(values.get("endpoint", "")).startswith(_UNIX)
    by_agent = values.get("workload_socket")
    needed = ("endpoint",) if by_agent or is_local else _REQUIRED
    missing = [name for name in needed if not values.get(name)]
    if missing:
        where = f"{source} does not say" if source else f"nothing at or above {start}"
        variables = ", ".join(_VARIABLES[name] for name in missing)
        message = f"no setting {', '.join(missing)}: {where} and {variables} is not set"
        raise InvalidArgumentError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="Start a local strongroom with `strongroom dev up`, "
            "or set STRONGROOM_CONFIG to your client.toml.",
            setting=missing[0],
        )
    checked = {name: _check(name, value, source) for name, value in values.items()}
    if checked.get("login_issuer") and not checked.get("login_client_id"):
        raise _bad(source, "login_client_id", "is missing beside login_issuer")
    checked["source"] = source
    return ClientSettings(**checked)  # type: ignore[arg-type]  # _check saw to it


def _check(name: str, value: object, source: Path | None) -> object:
    if name in _TIMES:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < float(str(value)) <= _MAX_TIMEOUT_S:
            raise _bad(
                source, name, f"is not a number of seconds up to {_MAX_TIMEOUT_S:g}"
            )
        return float(str(value))
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.isprintable():
        raise _bad(source, name, "is not a line of text")
    problem = _address_problem(name, value) if value else ""
    if problem:
        raise _bad(source, name, f"is {value!r}, not {problem}")
    return value


def _address_problem(name: str, value: str) -> str:
    """Return what an address or an id is not; empty if it is well formed, or none."""
    match name:
        case "workload_socket":
            return "" if value.startswith("unix:/") else "unix:///PATH"
        case "store_id":
            return "" if _STORE_ID.match(value) else "32 small hex digits"
        case "login_issuer":
            is_issuer = is_https(value) and not {"?", "#"} & set(value)
            return "" if is_issuer else "https://HOST/PATH"
        case "endpoint" if value.startswith(_UNIX):
            return "" if value.startswith(f"{_UNIX}/") else "unix:///PATH"
        case "endpoint":
            host, colon, port = value.rpartition(":")
            plain = host and (":" not in host or host.startswith("["))
            number = colon and plain and port.isascii() and port.isdigit()
            return "" if number and 0 < int(port) < 1 << 16 else "host:port"
        case _:
            return ""


def is_https(url: str) -> bool:
    """Tell whether a URL leads somewhere by TLS."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _resolve_paths(values: dict[str, object], base: Path) -> dict[str, object]:
    return {
        name: base / value if name in _PATHS and isinstance(value, str) else value
        for name, value in values.items()
    }


def _find_config(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        candidate = folder / CONFIG_PATH
        try:
            candidate.lstat()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        for part in (candidate.parent, candidate):
            _refuse_foreign(part)
        return candidate
    return None


def _refuse_foreign(path: Path) -> None:
    """Refuse what another user may have put there, as git's safe.directory does."""
    for status in (path.lstat(), path.stat()):
        foreign = status.st_uid not in {os.getuid(), 0}
        is_link = stat.S_ISLNK(status.st_mode)  # a link's own mode says nothing
        writable = not is_link and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if foreign or writable:
            why = (
                f"belongs to user {status.st_uid}"
                if foreign
                else "may be written by others"
            )
            message = f"{path} is not read: it {why}"
            raise InvalidArgumentError(
                message,
                reason=Reason.SETTING_INVALID,
                hint="If you trust it, name it: STRONGROOM_CONFIG=FILE. "
                f"If it is yours: chmod go-w {path}",
                path=path,
            )


def _read_config(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError as error:
        message = f"there is no configuration {path}"
        raise NotFoundError(
            message,
            reason=Reason.PATH_NOT_FOUND,
            hint="`strongroom dev up` writes one.",
            path=path,
        ) from error
    except OSError as error:
        raise _bad(path, "file", f"cannot be read: {error.strerror}") from error
    if len(text) > MAX_CONFIG_BYTES:
        raise _bad(path, "file", f"is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        values: dict[str, object] = tomllib.loads(text.decode())
    except ValueError as error:
        raise _bad(path, "file", f"is not TOML: {error}") from error
    unknown = sorted(set(values) - _KNOWN)
    if unknown:
        raise _bad(path, unknown[0], "is not known")
    return values


def _bad(source: Path | None, name: str, problem: str) -> InvalidArgumentError:
    where = f"{source}: " if source else ""
    message = f"{where}setting {name} {problem}"
    return InvalidArgumentError(
        message,
        reason=Reason.SETTING_INVALID,
        hint="`strongroom doctor` shows what was found and where.",
        setting=name,
    )

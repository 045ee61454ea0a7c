# SPDX-License-Identifier: Apache-2.0
"""The settings of a restore: a server's, or no more of them than a restore needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_server.config.reading import load_settings
from strongroom_server.config.sections import ServerSettings
from strongroom_server.config.tables import (
    PREFIX,
    read_document,
    read_environ,
    setting_error,
)

#: What a server cannot do without and a restore has no use for.
_UNUSED: Final[Mapping[str, Mapping[str, object]]] = {
    "identity": {"trust_domain": "unused", "spiffe_id": "unused"},
    "listen": {"data": "unused", "health": "unused", "admin": "unused"},
    "index": {"path": "unused"},
    "audit": {"path": "unused"},
    "access": {"assignments_file": "unused"},
}
_STORE: Final = "store"
_NO_STORE: Final[Mapping[str, object]] = {
    "endpoint": "https://unused.invalid",
    "bucket": "unused",
    "credentials_file": "unused",
}


@dataclass(frozen=True, slots=True)
class RestoreSettings:
    """What a restore is told.

    Attributes:
        server: Of which `vault`, `backup` and `workers` are used, and `store` if
            there is one.
        has_store: Whether the file has a section `[store]`.
    """

    server: ServerSettings
    has_store: bool


def read_restore_settings(path: Path) -> RestoreSettings:
    """Read the settings of a server, or a file with `[vault]` and `[backup]` alone.

    Raises:
        InvalidArgumentError: It cannot be read, a setting cannot be, or there is no
            `[backup]` (SETTING_INVALID).
    """
    document, environ = read_document(path), read_environ()
    own = f"{PREFIX}{_STORE.upper()}__"
    has_store = _STORE in document or any(name.startswith(own) for name in environ)
    filled: dict[str, object] = {**_UNUSED, **document}
    if not has_store:
        filled[_STORE] = _NO_STORE
    settings = load_settings(filled, environ)
    if not settings.backup.is_set:
        message = f"{path} has no section [backup], which says where to restore from"
        raise setting_error(message)
    return RestoreSettings(settings, has_store)

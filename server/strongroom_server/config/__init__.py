# SPDX-License-Identifier: Apache-2.0
"""The server's settings: a TOML file, overridden by `STRONGROOM__SECTION__KEY`.

Unknown sections, keys and variables are refused. Secrets are never settings: a
setting names the file that holds one.
"""

from strongroom_server.config.backups import BackupSection
from strongroom_server.config.files import read_credentials
from strongroom_server.config.reading import (
    format_settings,
    load_settings,
    read_settings,
)
from strongroom_server.config.restoring import (
    RestoreSettings,
    read_restore_settings,
)
from strongroom_server.config.sections import CopySection, ServerSettings
from strongroom_server.config.sidecar import SidecarSettings, read_sidecar_settings
from strongroom_server.config.tables import format_sections

__all__ = [
    "BackupSection",
    "CopySection",
    "RestoreSettings",
    "ServerSettings",
    "SidecarSettings",
    "format_sections",
    "format_settings",
    "load_settings",
    "read_credentials",
    "read_restore_settings",
    "read_settings",
    "read_sidecar_settings",
]

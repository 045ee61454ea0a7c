# SPDX-License-Identifier: Apache-2.0
"""Downloads: versions read.

A `source` opens them, over what an `engine` reads with: `stored` over a store and
its keys, `granted` over what a sidecar was granted. A `download` is one version being
read, by `pieces` of which neighbours share `fetches`, each of them hedged
(`hedging`); or one file of it put into memory for all (`mapping`). A session
(`sessions`) is many small reads of one version, found in its file `tables` and
fetched by `windows`.
"""

from strongroom_server.services.downloads.download import Download
from strongroom_server.services.downloads.engine import Engine
from strongroom_server.services.downloads.granted import (
    GrantedDownloads,
    GrantedEngine,
)
from strongroom_server.services.downloads.sessions import Found, Part, Session
from strongroom_server.services.downloads.source import DownloadSource
from strongroom_server.services.downloads.stored import Downloads

__all__ = [
    "Download",
    "DownloadSource",
    "Downloads",
    "Engine",
    "Found",
    "GrantedDownloads",
    "GrantedEngine",
    "Part",
    "Session",
]

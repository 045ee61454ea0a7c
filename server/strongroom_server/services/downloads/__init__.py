# SPDX-License-Identifier: Apache-2.0
"""Downloads: versions read (`download`), each fetch hedged (`hedging`)."""

from strongroom_server.services.downloads.download import (
    MAX_PATHS,
    Download,
    Downloads,
)

__all__ = ["MAX_PATHS", "Download", "Downloads"]

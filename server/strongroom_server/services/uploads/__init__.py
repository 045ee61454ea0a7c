# SPDX-License-Identifier: Apache-2.0
"""Uploads: taken in (`upload`), kept as they go (`progress`), entered (`commits`)."""

from strongroom_server.services.uploads.commits import (
    MAX_DESCRIPTION_BYTES,
    CommitResult,
    UploadStart,
)
from strongroom_server.services.uploads.progress import Position
from strongroom_server.services.uploads.upload import Upload, Uploads

__all__ = [
    "MAX_DESCRIPTION_BYTES",
    "CommitResult",
    "Position",
    "Upload",
    "UploadStart",
    "Uploads",
]

# SPDX-License-Identifier: Apache-2.0
"""Uploads: taken in (`upload`), kept as they go (`progress`), entered (`commits`).

`drafts` are those that several processes write; `draft_commits` enters them.
"""

from strongroom_server.core.write_results import CommitResult, PartResult, Position
from strongroom_server.services.uploads.commits import (
    MAX_DESCRIPTION_BYTES,
    UploadStart,
)
from strongroom_server.services.uploads.draft_commits import DraftCommitStart
from strongroom_server.services.uploads.drafts import (
    DraftPart,
    Drafts,
    PartStart,
)
from strongroom_server.services.uploads.granted import (
    GrantedUploads,
    GrantedWriteEngine,
)
from strongroom_server.services.uploads.places import Place
from strongroom_server.services.uploads.upload import Upload, Uploads

__all__ = [
    "MAX_DESCRIPTION_BYTES",
    "CommitResult",
    "DraftCommitStart",
    "DraftPart",
    "Drafts",
    "GrantedUploads",
    "GrantedWriteEngine",
    "PartResult",
    "PartStart",
    "Place",
    "Position",
    "Upload",
    "UploadStart",
    "Uploads",
]

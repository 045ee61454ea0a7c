# SPDX-License-Identifier: Apache-2.0
"""The S3 adapter: `BlobStore` on S3 and its relatives.

`store`, `remover`, `locked` and `presigner` are the ports. `requests` and `listings`
are what they share, over `connections`, with `signing`, `answers` and `documents`;
`settings` says where the bucket is, and `errors` what failed, in errors of ours.
"""

from strongroom_server.adapters.s3.presigner import S3Presigner
from strongroom_server.adapters.s3.remover import S3BlobRemover, open_remover
from strongroom_server.adapters.s3.settings import S3Settings
from strongroom_server.adapters.s3.store import S3BlobStore, open_s3

__all__ = [
    "S3BlobRemover",
    "S3BlobStore",
    "S3Presigner",
    "S3Settings",
    "open_remover",
    "open_s3",
]

# SPDX-License-Identifier: Apache-2.0
"""The client: everything that training code and tools ask of a strongroom."""

from strongroom._lineage import Run
from strongroom._transfer.draft_writer import DraftWriter
from strongroom._transfer.remote_file import StrongroomFile
from strongroom.client.drafts import Draft
from strongroom.client.facade import Client, connect
from strongroom.client.reader import Reader

__all__ = [
    "Client",
    "Draft",
    "DraftWriter",
    "Reader",
    "Run",
    "StrongroomFile",
    "connect",
]

# SPDX-License-Identifier: Apache-2.0
"""The ports: what the repository needs from S3, Vault, LMDB, the clock and the rest.

Every method's docstring is its contract. One conformance suite a port, in
`tests/contract`, runs against the memory adapter and the real one alike.
Adapters raise classes of `strongroom.errors`, and the two signals below.
"""

from strongroom_server.ports.approvals import (
    ApprovalBook,
    Approved,
    AssertionVerifier,
    CredentialSource,
)
from strongroom_server.ports.audit import (
    AuditSink,
    CheckpointSigner,
    JournalHeadSink,
    KeyRequestSink,
    LocalAuditLog,
)
from strongroom_server.ports.blobs import (
    BlobCopy,
    BlobExistsError,
    BlobNotFoundError,
    BlobPresigner,
    BlobRemover,
    BlobStore,
    BlobVersion,
    ReadBuffer,
    SignedPut,
    VersionedBlobs,
)
from strongroom_server.ports.granted_writes import (
    GrantedWrite,
    NotGrantedError,
    PackPutter,
    Pending,
    WriteSource,
)
from strongroom_server.ports.grants import (
    GrantSource,
    GrantWatch,
    OpenedGrant,
    PackCache,
    PackFetcher,
    UrlRefusedError,
)
from strongroom_server.ports.identity import (
    Authorizer,
    CertificateIssuer,
    IssuedCertificate,
    RevocationSource,
)
from strongroom_server.ports.keys import (
    MAX_REWRAP,
    DataKey,
    KekState,
    KeyAdmin,
    KeyDestroyer,
    KeyService,
    Signer,
    WrappedKey,
)
from strongroom_server.ports.locked import Lock, LockAttempts, LockedBlobs, LockMode
from strongroom_server.ports.operators import TokenVerifier
from strongroom_server.ports.restores import FileSink, RestoreFolder
from strongroom_server.ports.scratch import Scratch, ScratchFile
from strongroom_server.ports.sharing import (
    HandedFile,
    Lease,
    MappingDraft,
    SharedMemory,
    SharedRead,
    SharedWrite,
    ToldFile,
)
from strongroom_server.ports.system import Clock, Entropy, Index
from strongroom_server.ports.witness import CosigningKeys, Witness, WitnessState

__all__ = [
    "MAX_REWRAP",
    "ApprovalBook",
    "Approved",
    "AssertionVerifier",
    "AuditSink",
    "Authorizer",
    "BlobCopy",
    "BlobExistsError",
    "BlobNotFoundError",
    "BlobPresigner",
    "BlobRemover",
    "BlobStore",
    "BlobVersion",
    "CertificateIssuer",
    "CheckpointSigner",
    "Clock",
    "CosigningKeys",
    "CredentialSource",
    "DataKey",
    "Entropy",
    "FileSink",
    "GrantSource",
    "GrantWatch",
    "GrantedWrite",
    "HandedFile",
    "Index",
    "IssuedCertificate",
    "JournalHeadSink",
    "KekState",
    "KeyAdmin",
    "KeyDestroyer",
    "KeyRequestSink",
    "KeyService",
    "Lease",
    "LocalAuditLog",
    "Lock",
    "LockAttempts",
    "LockMode",
    "LockedBlobs",
    "MappingDraft",
    "NotGrantedError",
    "OpenedGrant",
    "PackCache",
    "PackFetcher",
    "PackPutter",
    "Pending",
    "ReadBuffer",
    "RestoreFolder",
    "RevocationSource",
    "Scratch",
    "ScratchFile",
    "SharedMemory",
    "SharedRead",
    "SharedWrite",
    "SignedPut",
    "Signer",
    "TokenVerifier",
    "ToldFile",
    "UrlRefusedError",
    "VersionedBlobs",
    "Witness",
    "WitnessState",
    "WrappedKey",
    "WriteSource",
]

# SPDX-License-Identifier: Apache-2.0
"""A whole engine over memory adapters, with the clock and entropy in hand."""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from strongroom.format.digest import VersionDigester, path_order
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore, MemoryIndex
from strongroom_server.adapters.memory_keys import MemoryKeyService, MemorySigner
from strongroom_server.core.records import (
    Caller,
    FileBlock,
    FileEnded,
    FileStarted,
    Kind,
)
from strongroom_server.core.suites import DEFAULT_SUITE, Suite
from strongroom_server.ports import BlobStore, Clock, Entropy, Index
from strongroom_server.repository.repository import Repository, open_repository
from strongroom_server.services.artifacts import Artifacts
from strongroom_server.services.diffs import Diffs
from strongroom_server.services.downloads import Downloads
from strongroom_server.services.refs import Refs
from strongroom_server.services.uploads import CommitResult, Uploads, UploadStart
from strongroom_server.services.verification import Verification

CALLER = Caller("spiffe://test/ns/a/sa/b/job/c", "0" * 32, "log-1")
ARTIFACT = ArtifactName("demo", "minilm")


@dataclass
class World:
    """One store with an engine on it; `reopened` gives a fresh engine."""

    blobs: BlobStore = field(default_factory=MemoryBlobStore)
    key_service: MemoryKeyService = field(
        default_factory=lambda: MemoryKeyService(entropy=SystemEntropy())
    )
    signer: MemorySigner = field(
        default_factory=lambda: MemorySigner(entropy=SystemEntropy())
    )
    index: Index = field(default_factory=MemoryIndex)
    clock: Clock = field(default_factory=SystemClock)
    entropy: Entropy = field(default_factory=SystemEntropy)
    suite: Suite = DEFAULT_SUITE
    executor: Executor = field(default_factory=lambda: ThreadPoolExecutor(4))

    def __post_init__(self) -> None:
        self.repository: Repository = open_repository(
            blobs=self.blobs,
            key_service=self.key_service,
            signer=self.signer,
            index=self.index,
            clock=self.clock,
            entropy=self.entropy,
            executor=self.executor,
            suite=self.suite,
        )
        self.uploads = Uploads(self.repository)
        self.downloads = Downloads(self.repository)
        self.artifacts = Artifacts(self.repository)
        self.refs = Refs(self.repository)
        self.diffs = Diffs(self.repository)
        self.verification = Verification(self.repository)

    def reopened(self, *, blobs: BlobStore | None = None) -> "World":
        """Return a fresh engine on the same store, with an empty index."""
        return World(
            blobs=blobs or self.blobs,
            key_service=self.key_service,
            signer=self.signer,
            clock=self.clock,
            entropy=self.entropy,
            suite=self.suite,
            executor=self.executor,
        )

    def push(
        self,
        files: Mapping[str, bytes],
        artifact: ArtifactName = ARTIFACT,
        *,
        executables: frozenset[str] = frozenset(),
        request_id: str = "",
        kind: Kind | None = None,
        block_bytes: int = 1024 * 1024,
    ) -> CommitResult:
        """Push files as one version."""
        start = UploadStart(
            artifact,
            kind,
            "a message",
            {"run": "1"},
            request_id or str(uuid.uuid4()),
            may_create_project=True,
        )
        digester = VersionDigester()
        with self.uploads.begin(start, caller=CALLER) as upload:
            for path in sorted(files, key=path_order):
                data = files[path]
                upload.start_file(
                    path, size_bytes=len(data), executable=path in executables
                )
                for offset in range(0, len(data), block_bytes):
                    upload.write(
                        data[offset : offset + block_bytes], offset_bytes=offset
                    )
                digest = "sha256:" + hashlib.sha256(data).hexdigest()
                upload.end_file(digest)
                digester.add(path, len(data), digest)
            return upload.commit(file_count=len(files), digest=digester.digest())

    def pull(
        self,
        selector: str = "latest",
        artifact: ArtifactName = ARTIFACT,
        *,
        paths: tuple[str, ...] = (),
        offset_bytes: int = 0,
        length_bytes: int = 0,
    ) -> dict[str, bytes]:
        """Return the files of a version."""
        name = VersionName(artifact, selector)
        files: dict[str, bytes] = {}
        path, parts = "", [b""]
        opened = self.downloads.open(
            name, paths=paths, offset_bytes=offset_bytes, length_bytes=length_bytes
        )
        with opened as download:
            for item in download.items:
                match item:
                    case FileStarted():
                        path, parts = item.path, []
                    case FileBlock():
                        parts.append(bytes(item.data))
                    case FileEnded():
                        files[path] = b"".join(parts)
        return files


@contextmanager
def memory_world() -> Iterator[World]:
    """Yield a world whose threads end with it."""
    with ThreadPoolExecutor(4) as executor:
        yield World(executor=executor)

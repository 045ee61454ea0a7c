# SPDX-License-Identifier: Apache-2.0
"""Opens the store's bucket, once it is shown that it keeps what is promised."""

from concurrent.futures import Executor
from contextlib import ExitStack

from strongroom_server.adapters.s3 import open_s3
from strongroom_server.config import ServerSettings
from strongroom_server.opening import s3_settings
from strongroom_server.ports import BlobStore, Clock, Entropy
from strongroom_server.repository.relocations import open_relocated
from strongroom_server.repository.replica_records import require_serving
from strongroom_server.services.probes import StoreProbe


def open_bucket(
    settings: ServerSettings,
    executor: Executor,
    clock: Clock,
    entropy: Entropy,
    stack: ExitStack,
) -> tuple[BlobStore, StoreProbe]:
    """Open the bucket, which may be another one than the store's first.

    Returns:
        What reads and writes it, and what shows again that it is suitable.

    Raises:
        PreconditionError: It is a replica that follows another bucket, or does not
            keep a promise that the repository needs.
        UnavailableError: S3 cannot be reached.
    """
    s3 = s3_settings(settings, settings.store.credentials_file)
    inner = stack.enter_context(open_s3(s3, clock))
    require_serving(inner)
    probe = StoreProbe(blobs=inner, clock=clock, entropy=entropy, executor=executor)
    probe.require()
    return open_relocated(inner, clock), probe

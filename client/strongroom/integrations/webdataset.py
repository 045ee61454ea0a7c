# SPDX-License-Identifier: Apache-2.0
"""WebDataset: `strongroom://…` as a URL of shards; importing this registers it.

import strongroom.integrations.webdataset
import webdataset

shards = "strongroom://demo/crawl@3/shard-{000..099}.tar"
data = webdataset.WebDataset(shards, shardshuffle=False)
"""

from typing import IO, Any, cast

from webdataset.gopen import gopen_schemes

from strongroom.errors import InvalidArgumentError
from strongroom.integrations.filesystem import StrongroomFileSystem
from strongroom.integrations.places import PROTOCOL


def open_shard(url: str, mode: str = "rb", bufsize: int = 8192, **_: Any) -> IO[bytes]:  # noqa: ANN401 - as webdataset calls it
    """Open a shard for reading, with the settings of the process.

    Args:
        url: `strongroom://project/artifact[@version]/path`.
        mode: `rb`.
        bufsize: Ignored: the file streams ahead by itself, since shards are read
            from their start to their end.

    Raises:
        InvalidArgumentError: The mode is another.
        NotFoundError: There is no such file.
    """
    del bufsize
    if mode not in {"r", "rb"}:
        message = f"a shard cannot be opened with the mode {mode!r}"
        raise InvalidArgumentError(
            message,
            hint="Write shards to a folder, and push it: one version of all.",
            mode=mode,
        )
    return cast("IO[bytes]", StrongroomFileSystem().client.open(url))


gopen_schemes[PROTOCOL] = open_shard

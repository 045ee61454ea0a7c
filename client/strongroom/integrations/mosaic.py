# SPDX-License-Identifier: Apache-2.0
"""MosaicML streaming: `remote="strongroom://…"`; importing this registers it.

    import strongroom.integrations.mosaic
    from streaming import StreamingDataset

    data = StreamingDataset(remote="strongroom://demo/mds@3", local="/dev/shm/mds")

Name a version by its number: shards of two versions do not go together. What is
streamed lies in the clear in the `local` folder.
"""

from streaming.base.storage.download import DOWNLOADER_MAPPINGS, CloudDownloader

from strongroom.integrations.filesystem import StrongroomFileSystem
from strongroom.integrations.places import PROTOCOL


class StrongroomDownloader(CloudDownloader):
    """Fetches shards with the settings of the process, verified."""

    @staticmethod
    def _client_identifier() -> str:
        return PROTOCOL

    def clean_up(self) -> None:
        """Keep the connection: others in the process use it, too."""

    def _download_file_impl(self, remote: str, local: str, timeout: float) -> None:
        """Fetch a file; it appears whole, or not at all.

        Args:
            remote: `strongroom://project/artifact[@version]/path`.
            local: Where to.
            timeout: Not used: the client's settings say how long to wait.

        Raises:
            NotFoundError: There is no such file.
        """
        del timeout
        StrongroomFileSystem().get_file(remote, local)


DOWNLOADER_MAPPINGS[PROTOCOL] = StrongroomDownloader

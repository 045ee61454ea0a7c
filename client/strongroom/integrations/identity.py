# SPDX-License-Identifier: Apache-2.0
"""As whom an integration calls: settings travel in pickles, connections do not."""

from strongroom.client import Client
from strongroom.config import load_settings
from strongroom.integrations.rooms import room_of


class Identity:
    """Settings, and the client that they lead to in each process."""

    def __init__(self, client: Client | None) -> None:
        """Take over a client's settings, or find the nearest ones.

        Args:
            client: It may be closed later; the connection is another one.

        Raises:
            InvalidArgumentError: There are no settings (SETTING_INVALID).
        """
        self._settings = client.settings if client else load_settings()
        self._login = client.login if client else False

    @property
    def client(self) -> Client:
        """The client of this process."""
        return room_of(self._settings, login=self._login).client

# SPDX-License-Identifier: Apache-2.0
"""`Clock` on the machine's clocks; the only file that asks them."""

import time
from datetime import UTC, datetime

from strongroom_server.ports import Clock


class SystemClock:
    """The time of this machine."""

    def now(self) -> datetime:
        """See `Clock`."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        time.sleep(seconds)


_clock: type[Clock] = SystemClock

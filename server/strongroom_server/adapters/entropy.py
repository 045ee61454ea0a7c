# SPDX-License-Identifier: Apache-2.0
"""`Entropy` from the kernel; the only file that asks for randomness."""

import os

from strongroom_server.ports import Entropy


class SystemEntropy:
    """The kernel's generator, which waits until it is seeded; getrandom(2)."""

    def token_bytes(self, size: int) -> bytes:
        """See `Entropy`."""
        return os.urandom(size)


_entropy: type[Entropy] = SystemEntropy

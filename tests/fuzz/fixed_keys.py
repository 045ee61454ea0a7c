# SPDX-License-Identifier: Apache-2.0
"""The keys under which fuzzed objects would have to authenticate."""

from typing import Final

from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.scope import Scope

STORE: Final = bytes(16)
SCOPE: Final = Scope(STORE, b"p" * 18, b"d" * 18, 0)
KEYS: Final = DomainKeys(SCOPE, b"m" * 32, b"k" * 32)

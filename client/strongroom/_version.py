# SPDX-License-Identifier: Apache-2.0
"""The version of this distribution; a test holds it against `pyproject.toml`.

Asking the installed metadata for it takes as long as importing gRPC does.
"""

from typing import Final

VERSION: Final = "0.1.0"

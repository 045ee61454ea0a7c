# SPDX-License-Identifier: Apache-2.0
"""The entry point `strongroom`: says what to install if the command line is not."""

import sys
from typing import Final

from strongroom._version import VERSION

#: As a shell says it: 128 and SIGINT.
INTERRUPTED: Final = 130


def main() -> int:
    """Run the command line on `sys.argv`; return the exit code."""
    if sys.argv[1:] == ["--version"]:
        # The question of installers and scripts: no command is loaded for it.
        print(f"strongroom {VERSION}")
        return 0
    try:
        from strongroom.cli.memory import reuse_memory
        from strongroom.cli.program import run
    except ModuleNotFoundError as error:
        print(
            f"strongroom: the module {error.name!r} is not installed\n"
            "  the command line is an extra\n"
            "  in the source folder: pip install '.[cli]'",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    reuse_memory()
    return run(sys.argv[1:])

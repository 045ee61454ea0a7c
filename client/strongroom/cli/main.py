# SPDX-License-Identifier: Apache-2.0
"""The entry point `strongroom`: says what to install if the command line is not."""

import sys


def main() -> int:
    """Run the command line on `sys.argv`; return the exit code."""
    try:
        from strongroom.cli.program import run
    except ModuleNotFoundError as error:
        print(
            f"strongroom: the module {error.name!r} is not installed\n"
            "  the command line is an extra\n"
            "  pip install 'strongroom[cli]'",
            file=sys.stderr,
        )
        return 1
    return run(sys.argv[1:])

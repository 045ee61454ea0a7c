# SPDX-License-Identifier: Apache-2.0
"""Fuzzes one target in this process: `python -m tests.fuzz.fuzz_one NAME ARGS`.

Coverage-guided by atheris; the arguments are libFuzzer's.
"""

import sys

import atheris

with atheris.instrument_imports(include=["strongroom", "strongroom_server"]):
    from tests.fuzz.targets import run


def main() -> None:
    """Run until libFuzzer's limits, or until a finding ends the process."""
    name, *arguments = sys.argv[1:]
    atheris.Setup([sys.argv[0], *arguments], lambda data: run(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()

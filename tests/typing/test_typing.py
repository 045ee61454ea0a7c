# SPDX-License-Identifier: Apache-2.0
"""What users write type-checks, and what they must not write does not.

The calls stand in `api*.py` beside this file. A call that must be refused carries
`# type: ignore[code]`: strict mypy reports an ignore that ignores nothing, so the
day such a call is accepted this test fails.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
ROOT: Final = FOLDER.parents[1]


def mypy(cache: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", cache, *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_calls_of_users_type_check_and_the_wrong_ones_do_not(
    tmp_path: Path,
) -> None:
    files = sorted(FOLDER.glob("api*.py"))
    refused = sum(path.read_text().count("# type: ignore[") for path in files)

    run = mypy(tmp_path, *files)

    assert refused > 0, "nothing here is meant to be refused"
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_call_that_is_accepted_against_expectation_is_reported(
    tmp_path: Path,
) -> None:
    accepted = tmp_path / "api_accepted.py"
    accepted.write_text("size_bytes: int = 1  # type: ignore[assignment]\n")

    run = mypy(tmp_path / "cache", accepted)

    assert run.returncode == 1
    assert 'Unused "type: ignore" comment' in run.stdout

# SPDX-License-Identifier: Apache-2.0
"""How differences of versions are printed: one sign a line, tensors below files."""

from typing import Final

from strongroom.cli.output import Output, format_size
from strongroom.values import Change, DiffSummary, FileChange

_SIGNS: Final = {
    Change.ADDED: "+",
    Change.REMOVED: "-",
    Change.MODIFIED: "*",
    Change.UNCHANGED: "=",
}


def print_change(output: Output, change: FileChange) -> None:
    """Print a file that differs, with a sign in front, and its tensors below it."""
    sizes = [
        format_size(file.size_bytes)
        for file in (change.base, change.target)
        if file is not None
    ]
    output.line(f"{_SIGNS[change.change]} {change.path}  {' -> '.join(sizes)}")
    for tensor in change.tensors:
        shape = "x".join(map(str, tensor.shape)) or "scalar"
        output.line(
            f"    {_SIGNS[tensor.change]} {tensor.tensor}  {tensor.dtype} {shape}  "
            f"{format_size(tensor.size_bytes)}"
        )


def print_summary(output: Output, summary: DiffSummary) -> None:
    """Print how many files differ, and what is stored once for both."""
    output.line(
        f"{summary.base.name} -> {summary.target.name}: "
        f"{summary.added_count} added, {summary.removed_count} removed, "
        f"{summary.modified_count} modified, {summary.unchanged_count} unchanged"
    )
    output.line(
        f"{format_size(summary.target.stored_bytes)} newly stored, "
        f"{format_size(summary.shared_bytes)} shared"
    )

# SPDX-License-Identifier: Apache-2.0
"""The commands `replicate`, `replica` and `promote`: their options and their help."""

import argparse
from typing import Final

_REPLICATE: Final = """\
Make a bucket follow the bucket of a store, until SIGTERM.

What comes first: settings with [store], the primary, and [replica], an empty bucket
with versioning (docs/operations.md, 1.5). No key is needed, and no Vault.
"""
_REPLICATE_EXAMPLES: Final = """\
for example:

  strongroom-server replicate --config replica.toml
  strongroom-server replicate --config replica.toml --once

--once prints a line of JSON, and ends with 14 if something could not be copied, which
it names.
"""
_STATUS: Final = """\
Tell how far a replica is behind its primary, as a line of JSON.

What comes first: a replica that `strongroom-server replicate` has made. The primary has
to answer.
"""
_STATUS_EXAMPLES: Final = """\
for example:

  strongroom-server replica status --config replica.toml

It ends with 16 if the bucket is no replica.
"""
_PROMOTE: Final = """\
Make a replica a store of its own, for good, and print what its servers' settings need.

What comes first: no server of the primary runs any more, and no replicator
(docs/operations.md, 3.26); `strongroom-server replicate --once`, if the primary
answers.
"""
_PROMOTE_EXAMPLES: Final = """\
for example:

  strongroom-server replica status --config replica.toml
  strongroom-server promote --config replica.toml --stopped

It refuses while the primary has entries that the replica has not; --force loses them.
"""


def add_replicate(parser: argparse.ArgumentParser) -> None:
    """Add what `replicate` takes to its parser."""
    _explain(parser, _REPLICATE, _REPLICATE_EXAMPLES)
    parser.add_argument(
        "--once", action="store_true", help="end when the replica has everything"
    )


def add_status(parser: argparse.ArgumentParser) -> None:
    """Add what `replica` takes to its parser."""
    _explain(parser, _STATUS, _STATUS_EXAMPLES)
    parser.add_argument("action", choices=["status"])


def add_promote(parser: argparse.ArgumentParser) -> None:
    """Add what `promote` takes to its parser."""
    _explain(parser, _PROMOTE, _PROMOTE_EXAMPLES)
    parser.add_argument(
        "--force", action="store_true",
        help="though the primary has more, or the replica is not whole",
    )  # fmt: skip
    parser.add_argument(
        "--stopped", action="store_true",
        help="no replicator runs any more: do not wait a minute for one",
    )  # fmt: skip


def _explain(parser: argparse.ArgumentParser, about: str, examples: str) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = about, examples

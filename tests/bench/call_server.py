# SPDX-License-Identifier: Apache-2.0
"""A server with parts left out, to measure what they cost: for `bench_calls` only.

    python -m tests.bench.call_server CONFIG [--without access] [--without audit]

The product has no switch that turns access or audit off. Here the same composition
is run with stand-ins: one that allows everything without looking, one that notes
nothing. Serves until SIGTERM.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from strongroom.errors import StrongroomError
from strongroom_server import app
from strongroom_server.adapters.cedar import ReloadingAuthorizer
from strongroom_server.core.access import AccessAction, CallFacts, Decision
from strongroom_server.core.audit import AuditEvent, AuditReceipt, Phase
from strongroom_server.ports import AuditSink
from strongroom_server.rpc.call import Call
from strongroom_server.rpc.call_audit import CallAudit
from strongroom_server.rpc.targets import Target

PARTS: Final = ("access", "audit")
_ALLOWED: Final = Decision(allowed=True, policies=("bench",))


class AllowsAll(ReloadingAuthorizer):
    """Allows everything without looking."""

    def decide(
        self, principal: str, action: AccessAction, resource: str, facts: CallFacts
    ) -> Decision:
        """Allow it."""
        del principal, action, resource, facts
        return _ALLOWED


class NotesNothing(CallAudit):
    """Writes no entries; spans and log lines are written as ever."""

    def name_targets(self, call: Call, targets: tuple[Target, ...]) -> None:
        """Seal no name."""

    def append(self, call: Call, phase: Phase, failure: StrongroomError | None) -> None:
        """Write nothing."""
        del phase, failure
        call.audit_id = "off"


class NoTrail:
    """An `AuditSink` that keeps nothing, with what else is asked of a trail."""

    def append(self, event: AuditEvent, *, shared: bool = False) -> AuditReceipt:
        """Keep nothing."""
        message = "nobody notes anything here"
        raise AssertionError(message)

    def check_ready(self) -> None:
        """Always ready."""

    def check_signed(self) -> None:
        """Nothing is left to sign."""

    def check_witnessed(self) -> None:
        """Nothing is left to cosign."""


_sink: type[AuditSink] = NoTrail


def _no_trail(*_parts: object, **_named: object) -> NoTrail:
    return NoTrail()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--without", action="append", choices=PARTS, default=[])
    options = parser.parse_args(arguments)
    with pytest.MonkeyPatch.context() as patch:
        if "access" in options.without:
            patch.setattr(app, "ReloadingAuthorizer", AllowsAll)
        if "audit" in options.without:
            patch.setattr(app, "CallAudit", NotesNothing)
            patch.setattr(app, "open_audit_trail", _no_trail)
        app.serve(options.config)
    return 0


if __name__ == "__main__":
    sys.exit(main())

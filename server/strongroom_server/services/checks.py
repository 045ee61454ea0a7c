# SPDX-License-Identifier: Apache-2.0
"""Checking the server: Vault, signing keys, audit log and the store's promises."""

from collections.abc import Callable, Mapping
from typing import Final

from strongroom.errors import StrongroomError
from strongroom_server.core.journal import REQUIRED_ALGORITHMS
from strongroom_server.core.records import CheckResult
from strongroom_server.core.signatures import verify_signatures
from strongroom_server.ports import Authorizer, KeyService, Signer

Probe = Callable[[], tuple[CheckResult, ...]]
_MESSAGE: Final = b"strongroom.v1/self-test\0"


class Checks:
    """Says what works and what does not, one result a check."""

    def __init__(
        self,
        *,
        key_service: KeyService,
        signer: Signer,
        store_probe: Probe,
        key_clock: Callable[[], None],
        authorizer: Authorizer,
        alarms: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        """Say what is checked; `alarms` are further checks, by name."""
        self._key_service = key_service
        self._key_clock = key_clock
        self._signer = signer
        self._store_probe = store_probe
        self._authorizer = authorizer
        self._alarms = alarms or {}

    def run(self) -> tuple[CheckResult, ...]:
        """Run all checks; takes a second or two, and writes below `probe/`."""
        return (
            _checked(
                "vault.ready",
                self._key_service.check_ready,
                "an audited call succeeds",
            ),
            _checked(
                "vault.signing",
                self._sign,
                "both signing keys sign, and their signatures verify",
            ),
            _checked("vault.clock", self._key_clock, "its clock and ours agree"),
            _checked(
                "access.policies",
                self._authorizer.check_current,
                "the newest policies and assignments are in force",
            ),
            *(
                _checked(name, check, "nothing to see to")
                for name, check in self._alarms.items()
            ),
            *self._store_probe(),
        )

    def _sign(self) -> None:
        verify_signatures(
            _MESSAGE,
            self._signer.sign(_MESSAGE),
            self._signer.public_keys(),
            required=REQUIRED_ALGORITHMS,
        )


def _checked(name: str, check: Callable[[], object], detail: str) -> CheckResult:
    try:
        check()
    except StrongroomError as error:
        return CheckResult.failed(name, error)
    return CheckResult(name, ok=True, detail=detail, hint="")

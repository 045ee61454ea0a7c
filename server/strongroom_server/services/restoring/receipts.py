# SPDX-License-Identifier: Apache-2.0
"""Signing what a restore did."""

from strongroom_server.core.restore_receipt import (
    format_payload,
    format_receipt,
    signing_input,
)
from strongroom_server.core.restore_records import RestoreReport
from strongroom_server.ports import Signer


def sign_report(signer: Signer, store: bytes, report: RestoreReport) -> bytes:
    """Return a receipt: the report, signed by the store's keys.

    Raises:
        UnavailableError: Vault cannot be reached.
        PreconditionError: Vault lets this identity not sign (KEK_ACCESS_DENIED).
    """
    payload = format_payload(store, report)
    return format_receipt(payload, signer.sign(signing_input(payload)))

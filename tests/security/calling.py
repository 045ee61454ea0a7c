# SPDX-License-Identifier: Apache-2.0
"""Calls over real mTLS, whose refusals have names."""

import ssl
from collections.abc import Callable

import grpc

from strongroom_server.ports import IssuedCertificate
from tests.rpc.calling import get_artifact
from tests.rpc.running import Running, read_failure
from tests.security.attacks import RefusedError

#: What a caller sees whose connection is closed before it may call.
NOT_CONNECTED = "UNAVAILABLE"


def call(act: Callable[[], object]) -> None:
    """Make a call.

    Raises:
        RefusedError: By the reason in the status, else by its code.
    """
    try:
        act()
    except grpc.RpcError as error:
        failed = read_failure(error)
        raise RefusedError(failed.reason or failed.code) from error
    except ssl.SSLError as error:
        raise RefusedError(NOT_CONNECTED) from error


def show(server: Running, certificate: IssuedCertificate) -> None:
    """Call with a certificate; errors as `call`."""
    call(lambda: get_artifact(server, certificate))

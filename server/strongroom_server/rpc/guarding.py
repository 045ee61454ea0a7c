# SPDX-License-Identifier: Apache-2.0
"""Servicers behind the guard: each method is wrapped once, when it is registered.

An interceptor would be asked at every call what it puts before the method, which is
always the same. What no servicer has is the guard's as well: nothing that is sent to
the listener goes by it.
"""

from collections.abc import Mapping

import grpc

from strongroom_server.rpc.guard import Guard
from strongroom_server.rpc.responding import Handler


class Guarding:
    """What generated code asks of a server that it adds a servicer to."""

    def __init__(self, server: grpc.Server, guard: Guard) -> None:
        """Put `guard` before all that `server` is asked for."""
        self._server = server
        self._guard = guard
        server.add_generic_rpc_handlers((_Unknown(guard),))

    def add_generic_rpc_handlers(self, generic_rpc_handlers: object) -> None:
        """Do nothing: what they would answer is registered by name, too."""

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler]
    ) -> None:
        """Register a service's methods, each behind the guard."""
        self._server.add_registered_method_handlers(
            service_name,
            {
                method: self._guard.guard(f"/{service_name}/{method}", handler)
                for method, handler in method_handlers.items()
            },
        )


class _Unknown(grpc.GenericRpcHandler):
    """Answers what no servicer has: with a refusal, and an audit entry."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """Return what refuses a method."""
        return self._guard.guard(handler_call_details.method, None)

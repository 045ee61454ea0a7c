# SPDX-License-Identifier: Apache-2.0
"""Asking a process of ours for its health, as a probe does."""

from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from strongroom_server.dev.addresses import HOST

_TIMEOUT_S = 2.0


def is_serving(port: int) -> bool:
    """Say whether the health service on that port of 127.0.0.1 answers SERVING."""
    # Not through a proxy that the environment names.
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"{HOST}:{port}", options=options) as channel:
        # Its types name no method: gRPC adds them when it is made.
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="")
        try:
            answer = stub.Check(request, timeout=_TIMEOUT_S)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

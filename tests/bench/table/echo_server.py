# SPDX-License-Identifier: Apache-2.0
"""A gRPC server over mTLS that does nothing: the floor of every call, for `make bench`.

    python -m tests.bench.table.echo_server FOLDER

FOLDER holds `ca.crt`, `tls.crt` and `tls.key`. Answers `/bench.Echo/Say` with the
request and `/bench.Echo/Flow` with as many MiB as the request says, on threads like
those of the server. Prints its port, and serves until standard input ends.
"""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc

SAY: Final = "/bench.Echo/Say"
FLOW: Final = "/bench.Echo/Flow"
_THREADS: Final = 64
_BLOCK: Final = bytes(range(256)) * 4096


def _say(request: bytes, _context: grpc.ServicerContext) -> bytes:
    return request


def _flow(request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
    for _ in range(int(request)):
        yield _BLOCK


def main(arguments: Sequence[str]) -> int:
    """Serve."""
    folder = Path(arguments[0])
    key, certificate, authorities = (
        (folder / name).read_bytes() for name in ("tls.key", "tls.crt", "ca.crt")
    )
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    handlers: dict[str, Any] = {
        "Say": grpc.unary_unary_rpc_method_handler(_say),
        "Flow": grpc.unary_stream_rpc_method_handler(_flow),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.Echo", handlers),)
    )
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], authorities, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0).wait(10)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

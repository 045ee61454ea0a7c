# SPDX-License-Identifier: Apache-2.0
"""One mTLS channel from settings, and calls over it.

A **method** is one row of `methods`; a **connection** holds the process's channel;
a **caller** makes calls and raises our errors; a **handshake** tells why there is no
connection.
"""

from strongroom import config

# Before any module here imports gRPC, which reads its environment then.
config.prepare_grpc()

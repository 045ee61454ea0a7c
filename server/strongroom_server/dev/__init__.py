# SPDX-License-Identifier: Apache-2.0
"""The development stack: real OpenBao, SeaweedFS and server on 127.0.0.1."""

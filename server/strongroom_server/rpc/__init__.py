# SPDX-License-Identifier: Apache-2.0
"""gRPC and nothing else: listeners, the guard in front of every call, servicers."""

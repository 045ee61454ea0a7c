# SPDX-License-Identifier: Apache-2.0
"""gRPC and nothing else."""

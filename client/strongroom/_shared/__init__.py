# SPDX-License-Identifier: Apache-2.0
"""Memory shared with a server on the same machine: the lane, and who lends it."""

# SPDX-License-Identifier: Apache-2.0
"""Pure formats that client and server share: names, digests, chunk cuts."""

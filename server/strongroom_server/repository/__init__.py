# SPDX-License-Identifier: Apache-2.0
"""Chunks, packs, manifests and journals over the ports."""

# SPDX-License-Identifier: Apache-2.0
"""Strongroom's Python SDK."""

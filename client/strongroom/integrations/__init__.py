# SPDX-License-Identifier: Apache-2.0
"""Bridges from the SDK to training frameworks."""

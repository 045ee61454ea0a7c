# SPDX-License-Identifier: Apache-2.0
"""The Strongroom server: one engine behind the strongroom.v1 API."""

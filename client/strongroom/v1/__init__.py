# SPDX-License-Identifier: Apache-2.0
"""Generated from proto/strongroom/v1; never edited."""

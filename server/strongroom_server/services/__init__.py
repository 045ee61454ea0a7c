# SPDX-License-Identifier: Apache-2.0
"""One use case a file."""

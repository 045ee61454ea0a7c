# SPDX-License-Identifier: Apache-2.0
"""One vendor a file, each behind a port."""

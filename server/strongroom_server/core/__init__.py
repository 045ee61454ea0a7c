# SPDX-License-Identifier: Apache-2.0
"""Pure decisions and layouts: no file, socket, clock or vendor."""

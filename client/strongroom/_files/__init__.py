# SPDX-License-Identifier: Apache-2.0
"""Local files: read in a fixed order, written so that they appear whole or not at all.

A **source** is what a push reads; a **placement** is where a pull writes until the
last check has passed. Symbolic links are never followed, on either side.
"""

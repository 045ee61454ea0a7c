# SPDX-License-Identifier: Apache-2.0
"""Bytes of versions in and out: checked, resumed, bounded, watched.

Every stream reads or writes one message at a time; nothing here grows with the size
of a file. Whatever arrives is compared with the digest that it should have.
"""

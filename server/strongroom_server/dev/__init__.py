# SPDX-License-Identifier: Apache-2.0
"""The development stack: real OpenBao, SeaweedFS and server on 127.0.0.1.

A *stack* is one folder (`./.strongroom` by default) that holds everything: data,
keys, certificates, logs, sockets and process files; nothing is written outside
it. A *component* is a part of the stack (`vault`, `store`, `server`); it owns one
or more *processes*, each with a process file, a log and a port or several. The
processes run in sessions of their own, so they outlive the command that started
them, and end with `strongroom dev down`.

For development and tests only: the key that unseals Vault lies in the folder, so
whoever may read the folder may read everything that the stack protects.
"""

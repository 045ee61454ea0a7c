# SPDX-License-Identifier: Apache-2.0
"""`python -m strongroom_server.dev`: the stack's commands without the client."""

from strongroom_server.dev.cli import app

if __name__ == "__main__":
    app(prog_name="strongroom dev")

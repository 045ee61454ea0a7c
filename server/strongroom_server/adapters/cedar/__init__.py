# SPDX-License-Identifier: Apache-2.0
"""Access decisions by Cedar: policies, role assignments, and their files."""

from strongroom_server.adapters.cedar.authorizer import CedarAuthorizer
from strongroom_server.adapters.cedar.files import AccessFiles
from strongroom_server.adapters.cedar.policies import schema_text, shipped_policies
from strongroom_server.adapters.cedar.reloading import ReloadingAuthorizer

__all__ = [
    "AccessFiles",
    "CedarAuthorizer",
    "ReloadingAuthorizer",
    "schema_text",
    "shipped_policies",
]

# SPDX-License-Identifier: Apache-2.0
"""People's logins at an OpenID Connect provider: its keys, and tokens it signed."""

from strongroom_server.adapters.oidc.tokens import OidcTokens

__all__ = ["OidcTokens"]

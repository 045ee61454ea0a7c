# SPDX-License-Identifier: Apache-2.0
"""Packs over HTTP, by URLs that somebody signed.

`connections` are kept open and reused; `gets` is the port `PackFetcher`, `puts` is
`PackPutter`.
"""

from strongroom_server.adapters.pack_urls.connections import PackConnections
from strongroom_server.adapters.pack_urls.gets import HttpPacks
from strongroom_server.adapters.pack_urls.puts import HttpPuts

__all__ = ["HttpPacks", "HttpPuts", "PackConnections"]

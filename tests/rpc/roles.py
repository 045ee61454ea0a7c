# SPDX-License-Identifier: Apache-2.0
"""Who may do what on the servers of tests."""

from tests.rpc.authority import READER, TRAINER, TRUST_DOMAIN
from tests.support.access import make_authorizer

AUTHORIZER = make_authorizer(
    {
        "owner": ["*"],
        "reader": ["artifact.get", "version.read", "version.list"],
        "writer": ["version.write"],
        "checker": ["version.diff", "version.verify", "store.verify"],
        "lister": ["project.list", "artifact.list", "server.info"],
    },
    {
        "id": "developers",
        "principal": f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/developer/job/*",
        "roles": ["owner"],
        "resources": ["projects/*", "server"],
    },
    {
        "id": "readers",
        "principal": f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/reader/job/*",
        "roles": ["reader"],
        "resources": ["projects/demo/*"],
    },
    {
        "id": "readers-lists",
        "principal": READER,
        "roles": ["lister"],
        "resources": ["projects", "projects/demo", "server"],
    },
    {
        "id": "trainers",
        "principal": TRAINER,
        "roles": ["reader", "writer", "checker"],
        "resources": ["projects/*"],
    },
)

# SPDX-License-Identifier: Apache-2.0
"""Forgetting all that a server holds of what was shredded, and nothing else."""

from collections.abc import Set as AbstractSet

from strongroom_server.core.tombstone import Tombstone
from strongroom_server.repository.chunk_index import ChunkIndex
from strongroom_server.repository.journals import Journals
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.manifests import Manifests
from strongroom_server.repository.projects import Projects
from strongroom_server.repository.repairs import Repairs
from strongroom_server.repository.shreds import Purge


def purge_from(
    *,
    keyring: Keyring,
    manifests: Manifests,
    journals: Journals,
    projects: Projects,
    repairs: Repairs,
    chunk_index: ChunkIndex,
) -> Purge:
    """Return what forgets in all these parts, in memory and in the local index."""

    def purge(tombstone: Tombstone, domains: AbstractSet[bytes]) -> None:
        project = tombstone.scope.project
        keyring.forget_dead(project, domains if tombstone.artifact else None)
        manifests.forget()
        journals.forget(project, tombstone.artifact)
        if not tombstone.artifact:
            projects.forget(project)
        for domain in domains:
            repairs.forget_domain(domain)
            chunk_index.forget_domain(domain)

    return purge

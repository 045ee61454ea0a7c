# SPDX-License-Identifier: Apache-2.0
"""Names of artifacts: which journals a project has, and whose each one is.

Keys name artifacts by keyed ids, so a name is known only once its journal has been
read and verified. It never changes then, so it is read once.
"""

from functools import partial
from itertools import islice
from typing import Final

from strongroom.format.names import ArtifactName
from strongroom_server.repository.cache import Cache
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Repository

#: Names that are remembered, of all projects; a few hundred bytes each. Beyond
#: that, journals are read again.
_MAX_NAMES: Final = 100_000
#: Journals that are read at once.
_BATCH: Final = 32


class ArtifactNames:
    """Knows the names of artifacts. Safe to use from many threads."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._known: Cache[JournalId, ArtifactName] = Cache(_MAX_NAMES)

    def of(self, project: Project) -> list[ArtifactName]:
        """Return the names of a project's artifacts, sorted.

        Those that were shredded alone are left out; `Shreds.artifacts` names them.
        Costs a listing of the folders of journals, a request for a thousand, and once
        for each artifact a read of its journal.

        Raises:
            IntegrityError: A journal that was not read before is damaged.
        """
        journals = self._repository.journals.artifacts(project.scope.project)
        names, unknown = list[ArtifactName](), list[JournalId]()
        for journal in journals:
            known = self._known.get(journal)
            if known is None:
                unknown.append(journal)
            else:
                names.append(known)
        names += self._read(project, unknown)
        dead = self._repository.shreds.artifacts(project.scope.project)
        return sorted(name for name in names if name.artifact not in dead)

    def _read(self, project: Project, journals: list[JournalId]) -> list[ArtifactName]:
        names, waiting = list[ArtifactName](), iter(journals)
        load = partial(self._repository.artifact_in, project)
        while batch := list(islice(waiting, _BATCH)):
            # Read at once, and remembered as they come: a listing that runs out of
            # time has done a part of the work of the next one.
            found = self._repository.executor.map(load, batch)
            for journal, artifact in zip(batch, found, strict=True):
                # A folder without an entry is no artifact yet.
                if artifact is not None:
                    self._known.put(journal, artifact.name, weight=1)
                    names.append(artifact.name)
        return names

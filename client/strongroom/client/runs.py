# SPDX-License-Identifier: Apache-2.0
"""`Runs`: what versions are made from, noted by itself, and followed both ways."""

from collections.abc import Iterator
from contextlib import contextmanager

from strongroom import _convert, _lineage
from strongroom._channel import methods
from strongroom._channel.caller import Caller
from strongroom._lineage import Run, RunNotes
from strongroom.client.restores import Restores
from strongroom.config import ClientSettings
from strongroom.format.names import parse_uri
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom.values import Lineage


class Runs(Restores):
    """The part of `Client` that knows what was made from what."""

    settings: ClientSettings
    _caller: Caller

    @contextmanager
    def run(self, name: str = "") -> Iterator[Run]:
        """Note the versions that are read; they are the inputs of what is written.

        Whatever reads or writes in this process through a client with the same
        endpoint takes part: the SDK, file systems, data sets, checkpoints. Threads
        that were started without this context do, too, and processes that are forked,
        or sent such a client, while the run goes on: workers of a `DataLoader`.
        Runs may be nested; what is read in the inner one was read in the outer one,
        and versions tell both names, cut to 128 characters.

        A version that takes over content of the one before it, without a change, is
        not made, and so gets no inputs.

        No read fails because it cannot be noted; versions tell then that inputs are
        missing.

        Args:
            name: Of the run, as versions will tell it; at most 128 characters.

        Yields:
            The run; `run.inputs` are the versions that were read so far.

        Raises:
            InvalidArgumentError: The name is too long, or not printable.
            PreconditionError: There is no folder for temporary files, in which other
                processes note what they read (SETTING_INVALID).
        """
        with _lineage.entered(RunNotes.begin(name, self.settings.endpoint)) as run:
            yield run

    def add_input(self, uri: str) -> None:
        """Say that a version is an input of the run, without reading it here.

        Args:
            uri: `project/artifact@version`, by whatever selector.

        Raises:
            PreconditionError: No run is on (ARGUMENT_INVALID).
            NotFoundError: There is no such version.
        """
        _lineage.check_run(self.settings.endpoint)
        _lineage.note_version(self.settings.endpoint, self.show(uri))

    def lineage(self, uri: str) -> Lineage:
        """Return what a version was made from, and what was made from it.

        It is what writers said, in runs or by themselves; within the version's
        project. Versions of other projects are named, and not followed.

        Args:
            uri: `project/artifact@version`; one that is deleted, or gone, by number.

        Raises:
            NotFoundError: There is no such version.
        """
        name = parse_uri(uri).version
        request = pb.GetLineageRequest(name=name.resource)
        answer = self._caller.unary(methods.GET_LINEAGE, request)
        return _convert.lineage_of(answer, name)

# SPDX-License-Identifier: Apache-2.0
"""`torch.distributed.checkpoint` to and from a strongroom: a checkpoint is a version.

    dcp.save(state, checkpoint_id="strongroom://demo/run")
    dcp.load(state, checkpoint_id="strongroom://demo/run@3")

All ranks write into one draft. It becomes a version when the coordinator has every
rank's results and stores `.metadata`: a checkpoint shows whole or not at all.
"""

import io
import operator
import queue
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader, FsspecWriter
from torch.distributed.checkpoint.filesystem import (
    FileSystemReader,
    FileSystemWriter,
    _StoragePrefix,
)
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import (
    LoadPlan,
    LoadPlanner,
    SavePlan,
    SavePlanner,
)
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from strongroom.client import Client, Draft
from strongroom.errors import (
    ConflictError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    StrongroomError,
)
from strongroom.format.names import parse_uri
from strongroom.integrations.checkpoint_files import (
    METADATA,
    CheckpointFiles,
    CheckpointPath,
    DraftFiles,
    VersionFiles,
)
from strongroom.integrations.checkpoint_items import ListedItems
from strongroom.integrations.checkpoint_metadata import parse_metadata
from strongroom.integrations.identity import Identity
from strongroom.values import Kind, PushResult

#: Up to this size an item is read as a whole before torch looks at it.
_WHOLE_BYTES: Final = 8 << 20


@dataclass
class _DraftPrefix(_StoragePrefix):
    """What the coordinator tells each rank: how its files begin, and where they go."""

    draft_id: str


class StrongroomWriter(FsspecWriter):
    """Saves checkpoints as versions of an artifact, from any number of ranks.

    `strongroom://project/artifact` makes a version of the checkpoint alone;
    `strongroom://project/artifact/directory` puts it beside what else the newest
    version has. On the coordinator, `result` says which version was made.

    Each save needs a plan of its own (`enable_plan_caching` of torch's planner is
    refused) and its ranks' collectives (`use_collectives=False` is refused).
    """

    def __init__(
        self,
        path: CheckpointPath = "",
        single_file_per_rank: bool = True,  # noqa: FBT001, FBT002 - as torch has it
        *,
        client: Client | None = None,
        kind: Kind | str | None = Kind.CHECKPOINT,
        message: str = "",
        metadata: Mapping[str, str] | None = None,
        **options: Any,  # noqa: ANN401 - as torch has them
    ) -> None:
        """Say where to and as whom; nothing is sent.

        Args:
            path: The checkpoint id; `dcp.save` may give it, too.
            single_file_per_rank: Whether each rank writes one file for each thread,
                rather than one for each tensor.
            client: As whom to call; as the nearest configuration says, unless given.
            kind: What an artifact holds that the save makes.
            message: What to say about the versions.
            metadata: What to attach to them.
            options: What else torch's `FileSystemWriter` takes, such as
                `thread_count`; what concerns disks is ignored.

        Raises:
            InvalidArgumentError: The id names a version, or nothing at all.
        """
        given = {**options, "sync_files": False, "overwrite": True}
        # Past its own base, which would look for a file system of fsspec.
        FileSystemWriter.__init__(self, ".", single_file_per_rank, **given)
        self.fs = DraftFiles()
        self.path = self.fs.init_path(path) if path else ""
        self._identity = Identity(client)
        self._kind = kind
        self._message = message
        self._metadata = dict(metadata or {})
        self._planned_draft_id = ""
        self._written_draft_id = ""

    @property
    def result(self) -> PushResult | None:
        """The version that the last save has made; None on other ranks."""
        return self.fs.result

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """Return the plan as it is.

        Raises:
            InvalidArgumentError: Ranks are to write without knowing of each other, so
                nothing would say when the checkpoint is whole.
        """
        if not self.use_collectives:
            message = "without collectives no rank knows when a checkpoint is whole"
            raise InvalidArgumentError(message, hint="Leave use_collectives out.")
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Begin a draft, and tell every rank of it; on the coordinator."""
        if self._planned_draft_id != self._written_draft_id or self.fs.draft:
            with suppress(StrongroomError):  # it would end by itself, only later
                self._join(self._planned_draft_id).discard()
        draft_id = self._planned_draft_id = self._join(None).id
        return [
            replace(plan, storage_data=_DraftPrefix(f"__{rank}_", draft_id))
            for rank, plan in enumerate(plans)
        ]

    def write_data(
        self, plan: SavePlan, planner: SavePlanner
    ) -> "Future[list[WriteResult]]":
        """Write this rank's part.

        Raises:
            InvalidArgumentError: The plan is that of an earlier save.
            StrongroomError: What the server refused.
        """
        draft_id = plan.storage_data.draft_id
        if draft_id == self._written_draft_id:
            message = "this plan was written already, into another version"
            raise InvalidArgumentError(
                message, hint="Leave enable_plan_caching of the planner out."
            )
        self._written_draft_id = draft_id
        self.fs.failure = None
        self.fs.draft = self._join(draft_id)
        written = super().write_data(plan, planner)
        if self.fs.failure is not None:
            raise self.fs.failure
        if len(written.value()) != len(plan.items):
            message = f"wrote {len(written.value())} of {len(plan.items)} items"
            raise InternalError(message)
        return written

    def _write_data(
        self, planner: SavePlanner, file_queue: "queue.Queue[tuple[Any, ...]]"
    ) -> "Future[list[WriteResult]]":
        # Torch makes a file for each thread, if it has nothing for it, too; of those
        # no result tells, and `finish` counts the files that results tell of.
        kept: queue.Queue[tuple[Any, ...]] = queue.Queue()
        while not file_queue.empty():
            entry = file_queue.get_nowait()
            *_, items = entry
            if items:
                kept.put(entry)
        return super()._write_data(planner, kept)

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Make the version, of which nothing showed before; on the coordinator.

        Raises:
            StrongroomError: What the server refused; there is no version then.
        """
        files = {item.storage_data.relative_path for part in results for item in part}
        files.add(METADATA)
        directory = parse_uri(self.path).path
        self.fs.expected_file_count = None if directory else len(files)
        if directory:
            self._remove_others(f"{directory}/", files)
        super().finish(metadata, results)

    def _remove_others(self, directory: str, files: set[str]) -> None:
        """Let go what an earlier checkpoint had here, and this one has not."""
        try:
            found = [
                item.path for item in self._identity.client.list_files(f"{self.path}/")
            ]
        except NotFoundError:  # it is the first one
            return
        others = {path for path in found if path.removeprefix(directory) not in files}
        if others:
            self.fs.open_draft().remove(*sorted(others))

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: CheckpointPath) -> bool:
        """Tell whether an id is one of ours."""
        return CheckpointFiles.validate_checkpoint_id(checkpoint_id)

    def _join(self, draft_id: str | None) -> Draft:
        uri = parse_uri(self.path)
        return self._identity.client.draft(
            uri.artifact.short,
            kind=self._kind,
            message=self._message,
            metadata=self._metadata,
            base="latest" if uri.path else None,
            draft_id=draft_id,
        )


class StrongroomReader(FsspecReader):
    """Loads checkpoints from versions, into whatever number of ranks.

    All ranks read the same version: that which the id names, or the newest one.
    """

    def __init__(
        self,
        path: CheckpointPath = "",
        *,
        client: Client | None = None,
        **options: Any,  # noqa: ANN401 - as torch has them
    ) -> None:
        """Say where from and as whom; nothing is sent.

        Args:
            path: `strongroom://project/artifact[@version][/directory]`; `dcp.load`
                may give it, too.
            client: As whom to call; as the nearest configuration says, unless given.
            options: What else torch's `FileSystemReader` takes.
        """
        # Past its own base, which would look for a file system of fsspec.
        FileSystemReader.__init__(self, ".", **options)
        self.fs = VersionFiles(Identity(client))
        self.path = self.fs.init_path(path) if path else ""

    def reset(self, checkpoint_id: CheckpointPath | None = None) -> None:
        """Begin another load."""
        super().reset(checkpoint_id)
        self.fs.version = None

    def read_metadata(self, *_: object, **__: object) -> Metadata:
        """Return what the checkpoint has.

        Every byte of it was authenticated by the server; its digest is compared, too,
        unless the server shares memory with us.

        Raises:
            IntegrityError: It is damaged, or is no metadata of torch's.
            NotFoundError: There is no such checkpoint.
        """
        self.fs.version = None
        with self.fs.create_stream(f"{self.path}/{METADATA}", "rb") as file:
            self.fs.version = file.version
            metadata = parse_metadata(file.read(), file.name)
        metadata.storage_meta = metadata.storage_meta or StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """Tell every rank which version the coordinator reads."""
        return [replace(plan, storage_data=self._number()) for plan in plans]

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> "Future[None]":
        """Read this rank's part, in the order in which it lies in the files.

        Raises:
            ConflictError: A version was made while the ranks began to load, and they
                found different ones.
            IntegrityError: Stored bytes are damaged, or are nothing that torch saves.
            PreconditionError: An item that is no tensor names what is not on torch's
                list; nothing of that was imported or called.
        """
        if plan.storage_data not in {None, self._number()}:
            message = (
                f"this rank found version {self._number()} of {self.path}, "
                f"and the coordinator version {plan.storage_data}"
            )
            raise ConflictError(
                message,
                reason=Reason.REF_MOVED,
                hint="Load again, or name the version: …@NUMBER.",
            )
        places = {
            index: self.storage_data[item.storage_index]
            for index, item in enumerate(plan.items)
        }
        order = sorted(
            places, key=lambda at: (places[at].relative_path, places[at].offset)
        )
        items = list(operator.itemgetter(*order)(plan.items)) if order[1:] else None
        listed = cast("LoadPlanner", ListedItems(planner, self.path))
        return super().read_data(replace(plan, items=items or plan.items), listed)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: CheckpointPath) -> bool:
        """Tell whether an id is one of ours."""
        return CheckpointFiles.validate_checkpoint_id(checkpoint_id)

    def _slice_file(self, file: Any, sinfo: Any) -> Any:  # noqa: ANN401 - of torch
        if sinfo.length > _WHOLE_BYTES:
            return super()._slice_file(file, sinfo)
        # In one go: torch jumps to the end of each item first, which ends one range
        # and begins another. Large ones go straight into their tensors instead.
        file.seek(sinfo.offset)
        return io.BytesIO(file.read(sinfo.length))

    def _number(self) -> int:
        if self.fs.version is None:
            message = "torch planned to load before it read the metadata"
            raise InternalError(message)
        return self.fs.version.number


def adopt(writer: type, reader: type) -> None:
    """Have `FsspecWriter` and `FsspecReader` make ours for `strongroom://`."""
    for theirs, ours in ((writer, StrongroomWriter), (reader, StrongroomReader)):
        if "__new__" not in vars(theirs):
            setattr(theirs, "__new__", staticmethod(_choice(theirs, ours)))  # noqa: B010 - mypy refuses the plain form


def _choice(theirs: type, ours: type) -> Any:  # noqa: ANN401 - a constructor of either
    def choose(
        cls: type, path: CheckpointPath = "", *_: object, **__: object
    ) -> object:
        leads_here = cls is theirs and CheckpointFiles.validate_checkpoint_id(path)
        return object.__new__(ours if leads_here else cls)

    return choose

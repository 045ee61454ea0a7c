# SPDX-License-Identifier: Apache-2.0
"""Lightning: checkpoints as versions of an artifact, stored while the training goes on.

    checkpoints = ModelCheckpoint(dirpath="strongroom://demo/run", save_top_k=3)
    trainer = Trainer(plugins=[AsyncStrongroomCheckpointIO()], callbacks=[checkpoints])
    trainer.fit(model, ckpt_path="strongroom://demo/run/last.ckpt")

Each save is a version: the newest one with that file put in. What `ModelCheckpoint`
removes is gone from the newest version, and stays in those before it until they are
deleted or their artifact's policy lets them go.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from lightning_utilities.core.apply_func import apply_to_collection

from strongroom.client import Client, Draft
from strongroom.errors import InvalidArgumentError, StrongroomError
from strongroom.format.names import ArtifactName, parse_uri
from strongroom.integrations.identity import Identity
from strongroom.integrations.places import written_at
from strongroom.values import Kind, PushResult


class StrongroomCheckpointIO(CheckpointIO):
    """Stores each checkpoint in a version of its own, before the next step."""

    def __init__(
        self,
        client: Client | None = None,
        *,
        kind: Kind | str | None = Kind.CHECKPOINT,
        message: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Say as whom; nothing is sent.

        Args:
            client: As whom to call; as the nearest configuration says, unless given.
            kind: What an artifact holds that a save makes.
            message: What to say about the versions.
            metadata: What to attach to them.
        """
        self._identity = Identity(client)
        self._kind = kind
        self._message = message
        self._metadata = dict(metadata or {})
        #: The version that was made last.
        self.result: PushResult | None = None

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: Any,  # noqa: ANN401 - text or a path
        storage_options: object | None = None,
    ) -> None:
        """Make a version with this file put in or replaced.

        Args:
            checkpoint: What `torch.save` stores.
            path: `strongroom://project/artifact/FILE`, or what pathlib makes of it.
            storage_options: Must be None.

        Raises:
            InvalidArgumentError: The path names a version, or no file.
            StrongroomError: What the server refused; there is no version then.
        """
        if storage_options is not None:
            message = "a strongroom has no storage options"
            raise InvalidArgumentError(message, hint="Leave storage_options out.")
        artifact, name = written_at(str(path))
        self._save(checkpoint, artifact, name)

    def load_checkpoint(
        self,
        path: Any,  # noqa: ANN401 - text or a path
        map_location: Any = None,  # noqa: ANN401 - as of `torch.load`
        weights_only: bool | None = None,  # noqa: FBT001 - as Lightning has it
    ) -> dict[str, Any]:
        """Return a checkpoint, every byte of it verified.

        Args:
            path: `strongroom://project/artifact[@version]/FILE`.
            map_location: As of `torch.load`; the processor, unless given.
            weights_only: As of `torch.load`, which takes None for True.

        Raises:
            IntegrityError: Stored bytes are damaged.
            NotFoundError: There is no such checkpoint.
        """
        with self._identity.client.open(str(parse_uri(str(path)))) as file:
            loaded: dict[str, Any] = torch.load(
                file,
                map_location="cpu" if map_location is None else map_location,
                weights_only=weights_only,
            )
        return loaded

    def remove_checkpoint(self, path: Any) -> None:  # noqa: ANN401 - text or a path
        """Make a version without this file, or without this directory.

        Raises:
            StrongroomError: What the server refused.
        """
        artifact, name = written_at(str(path))
        draft = self._draft(artifact)
        draft.remove(name, f"{name}/")
        self.result = draft.commit()

    def _save(
        self, checkpoint: dict[str, Any], artifact: ArtifactName, name: str
    ) -> None:
        draft = self._draft(artifact)
        try:
            with draft.writer(name) as file:
                torch.save(checkpoint, file)
            self.result = draft.commit()
        except BaseException:
            with suppress(StrongroomError):  # it would end by itself, only later
                draft.discard()
            raise

    def _draft(self, artifact: ArtifactName) -> Draft:
        return self._identity.client.draft(
            artifact.short,
            kind=self._kind,
            message=self._message,
            metadata=self._metadata,
            base="latest",
        )


class AsyncStrongroomCheckpointIO(StrongroomCheckpointIO):
    """Stores each checkpoint on a thread, from a copy in the processor's memory.

    One checkpoint is under way at a time, so that there is one copy at most. A
    failure is never missed: the next save raises it, or else the end of the run.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as of its base
        super().__init__(*arguments, **options)
        self._executor: ThreadPoolExecutor | None = None
        self._under_way: Future[None] | None = None

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: Any,  # noqa: ANN401 - text or a path
        storage_options: object | None = None,
    ) -> None:
        """Copy a checkpoint, and store it meanwhile.

        Raises:
            StrongroomError: As of its base; or what became of the save before.
        """
        self._settle()
        copied = apply_to_collection(checkpoint, torch.Tensor, _copy)
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "strongroom-checkpoint")
        self._under_way = self._executor.submit(
            super().save_checkpoint, copied, path, storage_options
        )

    def load_checkpoint(
        self,
        path: Any,  # noqa: ANN401 - text or a path
        map_location: Any = None,  # noqa: ANN401 - as of `torch.load`
        weights_only: bool | None = None,  # noqa: FBT001 - as Lightning has it
    ) -> dict[str, Any]:
        """Return a checkpoint, once the save that is under way has ended."""
        self._settle()
        return super().load_checkpoint(path, map_location, weights_only)

    def remove_checkpoint(self, path: Any) -> None:  # noqa: ANN401 - text or a path
        """Remove a checkpoint, once the save that is under way has ended."""
        self._settle()
        super().remove_checkpoint(path)

    def teardown(self) -> None:
        """Wait for the last save.

        Raises:
            StrongroomError: It failed; the run has no such checkpoint.
        """
        try:
            self._settle()
        finally:
            if self._executor is not None:
                self._executor.shutdown()
                self._executor = None

    def _settle(self) -> None:
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True)

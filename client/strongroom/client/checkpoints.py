# SPDX-License-Identifier: Apache-2.0
"""`Checkpoints`: saves that return once a copy is taken, and are pushed behind it."""

import atexit
import contextvars
import os
import sys
import threading
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, SupportsFloat

from strongroom import _system
from strongroom._channel.caller import Caller
from strongroom._files.staged import StagedSource
from strongroom._shared.staging import StagingMemory
from strongroom._transfer.push import push_version
from strongroom._transfer.sender import Push
from strongroom.client.checkpoint_loading import (
    LoadedCheckpoint,
    Reading,
    address_of,
    load_checkpoint,
    metadata_of,
    numbers_of,
)
from strongroom.client.descriptions import check_description
from strongroom.client.saves import (
    PendingSave,
    SaveSettings,
    StagedSave,
    fill,
    small_files,
)
from strongroom.client.tensor_layout import TensorLayout
from strongroom.errors import (
    DeadlineExceededError,
    ExhaustedError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom.format.names import ArtifactName
from strongroom.values import Kind, PushResult, Version

if TYPE_CHECKING:
    import torch

#: One save is pushed, another is staged; a third waits.
_SAVES: Final = 2
#: Made ready beside the tensors, for step, metrics and state.
_SMALL_BYTES: Final = 1 << 20
#: How often the thread looks whether the process ends.
_LOOK_S: Final = 0.2
#: After what may be over in a moment, a push is tried again.
_FIRST_WAIT_S: Final = 1.0
_LAST_WAIT_S: Final = 30.0


class Checkpoints:
    """Checkpoints of one artifact: saved behind the training's back, loaded again.

    A context manager; see `Client.checkpoints`. `save` copies the tensors into memory
    that is kept from save to save, and returns; a thread pushes it, one save after
    the other. Two may be on their way. What fails is raised by `PendingSave.result`,
    else by the next `save` or `close`, else printed when the process ends, whose status
    does not tell. A process that is killed leaves no half checkpoint. For one thread;
    not for the child of a fork.
    """

    def __init__(
        self,
        client: Reading,
        caller: Caller,
        artifact: ArtifactName,
        settings: SaveSettings,
    ) -> None:
        self._client = client
        self._caller = caller
        self._name = artifact
        self._settings = settings
        self._changed = threading.Condition()
        self._free = [StagingMemory() for _ in range(_SAVES)]
        self._queue: deque[StagedSave] = deque()
        self._saves: list[PendingSave] = []
        self._worker: threading.Thread | None = None
        self._is_pushing = False
        self._is_closed = False
        self._owner = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Exception as late:
            if error is None:
                raise
            error.add_note(f"and a checkpoint was not saved: {late}")

    def __repr__(self) -> str:
        return f"Checkpoints({self._name.short!r})"

    def prepare(self, tensors: Mapping[str, Any]) -> None:
        """Make the memory for saves of such tensors ready, so that the first is fast.

        Raises:
            InvalidArgumentError, ExhaustedError, PreconditionError: As `save`.
        """
        self._check_owner()
        size_bytes = TensorLayout(tensors).size_bytes + _SMALL_BYTES
        with self._changed:
            self._check_open()
            free = list(self._free)
        for memory in free:
            memory.reserve(size_bytes)

    def save(
        self,
        tensors: Mapping[str, Any],
        *,
        step: int,
        state: Any = None,  # noqa: ANN401 - whatever JSON has, or bytes
        metrics: Mapping[str, SupportsFloat] | None = None,
        message: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> PendingSave:
        """Copy the tensors, and return; they may be changed at once.

        Args:
            tensors: By name: torch's tensors wherever they are, numpy's arrays, or
                buffers of numbers. They become `model.safetensors`.
            step: Of the training; told in the version's metadata.
            state: What else is needed to go on, as of a sampler: what JSON gives back
                as it is (`state.json`), or bytes (`state.bin`).
            metrics: Numbers, or tensors of one, told in the metadata as
                `metric:NAME`; a policy may keep the best by one of them.
            message: What to say about the version.
            metadata: What else to attach.

        Raises:
            InvalidArgumentError: A tensor, a metric or the state cannot be saved.
            ExhaustedError: There is no memory (TOO_LARGE); or two saves are on their
                way, and this one is not to wait (TOO_MANY_OWN_CALLS).
            DeadlineExceededError: They were still on their way when it had waited.
            PreconditionError: The checkpoints were closed.
            StrongroomError: What an earlier save failed for; this one was not begun.
        """
        self._check_owner()
        self._raise_late()
        check_description(message, metadata)
        layout = TensorLayout(tensors)
        numbers = numbers_of(metrics)
        told = metadata_of(step, numbers, metadata)
        small = small_files(step, numbers, state)
        memory = self._take_memory()
        try:
            files = fill(memory, layout, small)
        except BaseException:
            self._give_back(memory)
            raise
        save = PendingSave(step)
        staged = StagedSave(
            save,
            memory,
            StagedSource(files),
            message,
            told,
            contextvars.copy_context(),
            _system.monotonic_s() + self._settings.retry_s,
        )
        self._begin(staged)
        return save

    def latest(self) -> Version | None:
        """Return the artifact's newest version; None if there is none."""
        try:
            return self._client.show(self._name.short)
        except NotFoundError:
            return None

    def load(
        self,
        version: int | str | None = None,
        *,
        device: "str | torch.device" = "cpu",
    ) -> LoadedCheckpoint:
        """Return a checkpoint, all of it; needs torch.

        Args:
            version: Its number, or whatever selects a version; the newest one,
                unless given.
            device: Where the tensors go.

        Raises:
            InvalidArgumentError: That is no version's number, and no selector.
            NotFoundError: There is none.
            PreconditionError: The version was not saved as a checkpoint, but pushed.
            IntegrityError: Stored bytes are damaged.
            StrongroomError: What else the server refused.
        """
        return load_checkpoint(self._client, address_of(self._name, version), device)

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until every save is durable.

        Raises:
            DeadlineExceededError: One is not in time (DEADLINE_EXCEEDED).
            StrongroomError: What one failed for.
        """
        self._check_owner()
        with self._changed:
            self._wait_idle(timeout_s)
        self._raise_late()

    def close(self, timeout_s: float | None = None) -> None:
        """Wait until every save is over, and give the memory back.

        Args:
            timeout_s: How long to wait at most. What is on its way goes on after it.

        Raises:
            DeadlineExceededError: A save is not over in time (DEADLINE_EXCEEDED).
            StrongroomError: What a save failed for that nobody was told.
        """
        if self._owner != os.getpid():
            return  # The thread that would end the saves is the parent's.
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            self._wait_idle(timeout_s)
            worker = self._worker
            for memory in self._free:
                memory.close()
            self._free.clear()
        if worker is not None:
            worker.join()
        _OPEN.discard(self)
        self._raise_late()

    def unheard(self) -> list[str]:
        """Return a line for each save that failed, and that nobody was told of."""
        return [
            f"{self._lost(save)}: {str(save.unheard) or type(save.unheard).__name__}"
            for save in self._saves
            if save.unheard is not None
        ]

    def _lost(self, save: PendingSave) -> str:
        return f"step {save.step} of {self._name.short} was not stored"

    def _check_owner(self) -> None:
        # A lock may be held for ever here, by a thread that the fork left behind.
        if self._owner != os.getpid():
            message = f"{self!r} belongs to the process that this one was forked from"
            raise PreconditionError(
                message,
                reason=Reason.ARGUMENT_INVALID,
                hint="Make another one in this process.",
            )

    def _raise_late(self) -> None:
        done = [save for save in self._saves if save.is_done]
        self._saves = [save for save in self._saves if not save.is_done]
        failures = [save for save in done if save.unheard is not None]
        for save in failures[1:]:
            failures[0].add_note(f"nor was step {save.step}: {save.unheard}")
        if failures:
            failures[0].check()

    def _wait_idle(self, timeout_s: float | None) -> None:
        if not self._changed.wait_for(self._is_idle, timeout_s):
            message = f"saves are on their way after {timeout_s:g} seconds"
            raise DeadlineExceededError(message)

    def _check_open(self) -> None:
        if self._is_closed:
            message = f"{self!r} was closed"
            raise PreconditionError(
                message,
                reason=Reason.ARGUMENT_INVALID,
                hint=f'Make another one: client.checkpoints("{self._name.short}").',
            )

    def _is_idle(self) -> bool:
        return not (self._queue or self._is_pushing)

    def _take_memory(self) -> StagingMemory:
        settings = self._settings
        with self._changed:
            self._check_open()
            if not self._free and settings.when_busy == "refuse":
                message = f"{_SAVES} saves are on their way"
                raise ExhaustedError(
                    message,
                    reason=Reason.TOO_MANY_OWN_CALLS,
                    hint="Save less often, or let saves wait for each other.",
                )
            if not self._changed.wait_for(lambda: self._free, settings.wait_s):
                message = (
                    f"{_SAVES} saves were on their way for {settings.wait_s:g} seconds"
                )
                raise DeadlineExceededError(
                    message, hint="The server may be slow; save less often."
                )
            return self._free.pop()

    def _give_back(self, memory: StagingMemory, *, pushed: bool = False) -> None:
        with self._changed:
            self._free.append(memory)
            if pushed:
                self._is_pushing = False
            self._changed.notify_all()

    def _begin(self, staged: StagedSave) -> None:
        _OPEN.add(self)
        with self._changed:
            self._saves.append(staged.save)
            self._queue.append(staged)
            self._changed.notify_all()
            if self._worker is None:
                # No daemon: a process that ends waits for what it has saved.
                self._worker = threading.Thread(
                    target=self._run, name="strongroom-checkpoints", daemon=False
                )
                self._worker.start()

    def _run(self) -> None:
        while (staged := self._next()) is not None:
            try:
                result = staged.context.run(self._push, staged)
            except BaseException as error:  # noqa: BLE001 - raised where it is asked for
                error.add_note(self._lost(staged.save))
                staged.save.end(None, error)
            else:
                staged.save.end(result, None)
            self._give_back(staged.memory, pushed=True)

    def _next(self) -> StagedSave | None:
        """Wait for the next save; None once there will be none."""
        # The thread stays: on a busy machine, starting one is most of a save's time.
        with self._changed:
            while not self._queue:
                if self._is_closed or not threading.main_thread().is_alive():
                    self._worker = None
                    return None
                self._changed.wait(_LOOK_S)
            self._is_pushing = True
            return self._queue.popleft()

    def _push(self, staged: StagedSave) -> PushResult:
        push = Push(
            source=staged.source,
            artifact=self._name,
            request_id=_system.new_request_id(),
            kind=Kind.CHECKPOINT,
            message=staged.message,
            metadata=staged.metadata,
        )
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                return push_version(self._caller, push)
            except StrongroomError as error:
                next_s = _system.monotonic_s() + wait_s
                if not error.retriable or next_s > staged.until_s:
                    raise
            threading.Event().wait(wait_s)
            wait_s = min(2 * wait_s, _LAST_WAIT_S)


#: Those that were not closed: what failed in them is told when the process ends.
_OPEN: Final[set[Checkpoints]] = set()


def _tell_unheard() -> None:
    for line in [line for item in tuple(_OPEN) for line in item.unheard()]:
        # What is raised here would come as a traceback that names no step.
        if sys.stderr is not None:
            sys.stderr.write(f"strongroom: {line}\n")


atexit.register(_tell_unheard)
os.register_at_fork(after_in_child=_OPEN.clear)

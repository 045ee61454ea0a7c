# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint is as a version: its files, its metadata, and reading them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Final, Protocol

from strongroom.errors import InvalidArgumentError, PreconditionError, Reason
from strongroom.format.names import ArtifactName
from strongroom.values import File, Version

if TYPE_CHECKING:
    import torch

#: The files of a checkpoint: step and metrics, which make each save a version of its
#: own, tensors, and the state in one of two forms.
ABOUT: Final = "checkpoint.json"
TENSORS: Final = "model.safetensors"
STATE_JSON: Final = "state.json"
STATE_BYTES: Final = "state.bin"
#: What the version's metadata says.
STEP_KEY: Final = "step"
METRIC_PREFIX: Final = "metric:"


class Reading(Protocol):
    """What reading a checkpoint needs of a client."""

    def show(self, uri: str) -> Version:
        """See `Client`."""
        ...

    def list_files(self, uri: str) -> Iterator[File]:
        """See `Client`."""
        ...

    def read_bytes(self, uri: str) -> bytes:
        """See `Client`."""
        ...

    def tensors(
        self, uri: str, *, device: "str | torch.device" = "cpu"
    ) -> "Iterator[tuple[str, torch.Tensor]]":
        """See `Client`."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    """One checkpoint, in memory.

    Attributes:
        version: Its version.
        step: Of the training.
        tensors: By name.
        state: What was saved beside them; None if nothing was.
        metrics: By name.
    """

    version: Version
    step: int
    tensors: "dict[str, torch.Tensor]"
    state: Any
    metrics: Mapping[str, float]


def numbers_of(metrics: Mapping[Any, Any] | None) -> dict[str, float]:
    """Return metrics as numbers of Python; they may be scalars of torch or numpy.

    Raises:
        InvalidArgumentError: A name is no text, or a metric no number.
    """
    told: dict[str, float] = {}
    for name, number in (metrics or {}).items():
        if not isinstance(name, str):
            message = f"a metric is called {name!r}, which is no text"
            raise InvalidArgumentError(message)
        try:
            # Of tensors, without a warning about their gradients.
            item = number.item() if hasattr(number, "item") else number
            if isinstance(item, str | bytes | bytearray):
                raise TypeError(type(item).__name__)  # noqa: TRY301 - as float does
            told[name] = float(item)
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:
            message = f"metric {name!r} is no number: {error}"
            raise InvalidArgumentError(
                message, hint="Give one number, or a tensor of one element."
            ) from error
    return told


def metadata_of(
    step: int, metrics: Mapping[str, float], metadata: Mapping[str, str] | None
) -> dict[str, str]:
    """Return what a checkpoint's version says.

    Args:
        step: Of the training.
        metrics: As `numbers_of` returns them.
        metadata: What else to attach.

    Raises:
        InvalidArgumentError: A key comes twice, or the step is no number.
    """
    if isinstance(step, bool) or not isinstance(step, int):
        message = f"step {step!r} is no number of a step"
        raise InvalidArgumentError(message, hint="Give a number: int(step).")
    told = {STEP_KEY: str(step)}
    for name, number in metrics.items():
        told[METRIC_PREFIX + name] = repr(number)
    for key, value in (metadata or {}).items():
        if key in told:
            message = f"metadata {key!r} is what the checkpoint says by itself"
            raise InvalidArgumentError(message, hint="Choose another key.")
        told[key] = value
    return told


def address_of(artifact: ArtifactName, version: object) -> str:
    """Return the URI of what is to be loaded.

    Args:
        artifact: Of which.
        version: Its number, whatever selects it, or None for the newest one.

    Raises:
        InvalidArgumentError: It is neither.
    """
    if version is None:
        return artifact.short
    hint = "Give its number: load(version.number)."
    if isinstance(version, str):
        if "/" not in version and "@" not in version:
            return f"{artifact.short}@{version}"
        message = f"{version!r} is a name, and selects no version of {artifact.short}"
        raise InvalidArgumentError(message, hint=hint)
    if isinstance(version, bool) or not isinstance(version, Integral):
        message = f"{type(version).__name__} is no number of a version"
        raise InvalidArgumentError(message, hint=hint)
    if int(version) < 1:
        message = f"{version} is no number of a version: the first one is 1"
        raise InvalidArgumentError(message, hint="Leave it out for the newest one.")
    return f"{artifact.short}@{version}"


def load_checkpoint(
    client: Reading, uri: str, device: "str | torch.device"
) -> LoadedCheckpoint:
    """Read a checkpoint; see `Checkpoints.load`."""
    version = client.show(uri)
    pinned = f"{version.artifact.short}@{version.number}"
    step, metrics = _told_by(version)
    paths = {file.path for file in client.list_files(pinned)}
    state: Any = None
    if STATE_JSON in paths:
        state = json.loads(client.read_bytes(f"{pinned}/{STATE_JSON}"))
    elif STATE_BYTES in paths:
        state = client.read_bytes(f"{pinned}/{STATE_BYTES}")
    tensors = dict(client.tensors(f"{pinned}/{TENSORS}", device=device))
    return LoadedCheckpoint(version, step, tensors, state, metrics)


def _told_by(version: Version) -> tuple[int, dict[str, float]]:
    metadata = version.metadata
    try:
        step = int(metadata[STEP_KEY])
        metrics = {
            key.removeprefix(METRIC_PREFIX): float(value)
            for key, value in metadata.items()
            if key.startswith(METRIC_PREFIX)
        }
    except (KeyError, ValueError) as error:
        message = f"{version.name} was not saved as a checkpoint: it names no step"
        raise PreconditionError(
            message,
            reason=Reason.ARGUMENT_INVALID,
            hint="Read its files with `tensors` and `open`.",
        ) from error
    return step, metrics

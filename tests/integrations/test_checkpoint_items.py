# SPDX-License-Identifier: Apache-2.0
"""What a distributed checkpoint has that is no tensor: loaded, and never run."""

import io
import os
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from strongroom.client import Client
from strongroom.errors import IntegrityError, PreconditionError, Reason

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
dcp = pytest.importorskip("torch.distributed.checkpoint")
ours = pytest.importorskip("strongroom.integrations.checkpoint_items")

# Without a process group torch says that it saves from one process, which is meant.
pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


@dataclass
class Hostile:
    """Makes a file as soon as somebody unpickles it."""

    path: Path

    def __reduce__(self) -> Any:  # noqa: ANN401 - a pickle's own form
        return os.mkdir, (str(self.path),)


@dataclass
class Schedule:
    """A class of somebody's own, which torch does not know."""

    steps: int


def save(artifact: str, state: dict[str, Any]) -> str:
    uri = f"strongroom://{artifact}"
    dcp.save(state, checkpoint_id=uri, no_dist=True)
    return uri


# A loader with a tensor of that name is no safer: what is one the checkpoint says.
@pytest.mark.parametrize("loader", [0, torch.ones(2)], ids=["number", "tensor"])
def test_a_hostile_item_is_refused_by_name_and_runs_nothing(
    room: Client, artifact: str, tmp_path: Path, loader: object
) -> None:
    ran = tmp_path / "ran"
    uri = save(artifact, {"step": Hostile(ran), "weight": torch.ones(3)})

    with pytest.raises(dcp.api.CheckpointException) as caught:
        dcp.load(
            {"step": loader, "weight": torch.zeros(3)}, checkpoint_id=uri, no_dist=True
        )

    assert not ran.exists()
    [error] = caught.value.failures.values()
    error = error[0] if isinstance(error, tuple) else error
    assert isinstance(error, PreconditionError)
    assert error.reason is Reason.FORMAT_UNSUPPORTED
    assert f"{artifact}" in str(error)
    assert "item 'step' names posix.mkdir, which torch loads from no" in str(error)
    assert "strongroom log" in error.hint


def test_a_planner_that_does_not_flatten_is_guarded_too(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    uri = save(artifact, {"step": Hostile(ran)})
    planner = dcp.DefaultLoadPlanner(flatten_state_dict=False)

    with pytest.raises(dcp.api.CheckpointException, match=r"names posix\.mkdir"):
        dcp.load({"step": 0}, checkpoint_id=uri, planner=planner, no_dist=True)

    assert not ran.exists()


def test_the_hostile_item_would_have_run_but_for_us(tmp_path: Path) -> None:
    """Or else the tests above would show nothing."""
    ran, stored = tmp_path / "ran", tmp_path / "stored"
    dcp.save({"step": Hostile(ran)}, checkpoint_id=stored, no_dist=True)

    dcp.load({"step": 0}, checkpoint_id=stored, no_dist=True)

    assert ran.is_dir()


def test_what_checkpoints_usually_have_is_loaded(room: Client, artifact: str) -> None:
    state = {
        "weight": torch.rand(5),
        "step": 12,
        "rate": 0.1,
        "huge": 1 << 300,
        "none": None,
        "name": "größe",
        "raw": b"\0\xff",
        "done": False,
        "taken": [[1, 2], [3]],
        "betas": (0.9, 0.999),
        "seen": {1, 2},
        "dtype": torch.bfloat16,
        "shape": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "nested": {"groups": [{"lr": 0.1, "params": [0, 1]}], "epoch": {"n": 3}},
        "random": torch.get_rng_state(),
    }
    uri = save(artifact, state)
    loaded: dict[str, Any] = {
        **dict.fromkeys(state),
        "weight": torch.zeros(5),
        "random": torch.zeros_like(state["random"]),
        "nested": {"groups": [{"lr": 0.0, "params": []}], "epoch": {"n": 0}},
    }

    dcp.load(loaded, checkpoint_id=uri, no_dist=True)

    for name in ("weight", "random"):
        assert torch.equal(loaded.pop(name), state.pop(name))
    assert loaded == state


def test_a_class_that_the_user_vouches_for_is_loaded(
    room: Client, artifact: str
) -> None:
    uri = save(artifact, {"schedule": Schedule(7)})

    loaded = {"schedule": None}
    with pytest.raises(
        dcp.api.CheckpointException, match=r"names \S+\.Schedule,.*add_safe_globals"
    ):
        dcp.load(loaded, checkpoint_id=uri, no_dist=True)
    with torch.serialization.safe_globals([Schedule]):
        dcp.load(loaded, checkpoint_id=uri, no_dist=True)

    assert loaded == {"schedule": Schedule(7)}


def test_a_bare_pickle_runs_nothing_either(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    stored = io.BytesIO(pickle.dumps(Hostile(ran), protocol=2))

    with pytest.raises(PreconditionError, match=r"^x names posix\.mkdir"):
        ours.write_anew(stored, "x")

    assert not ran.exists()


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"no pickle", saved([1])[:-30], saved([1])[:50]]
)
def test_bytes_that_are_no_item_are_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"^x cannot be loaded: ") as caught:
        ours.write_anew(io.BytesIO(content), "x")
    assert caught.value.reason is Reason.RECORD_CORRUPT


def test_an_item_that_would_choose_how_it_is_written_anew_is_refused() -> None:
    """An OrderedDict takes attributes of any name, and pickling looks at some."""

    class Odd(OrderedDict[str, int]):
        def __reduce__(self) -> Any:  # noqa: ANN401 - a pickle's own form
            return OrderedDict, (), {"__reduce_ex__": torch.Size}

    with pytest.raises(IntegrityError, match="cannot be loaded"):
        ours.write_anew(io.BytesIO(saved(Odd())), "x")

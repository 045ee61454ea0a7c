# SPDX-License-Identifier: Apache-2.0
"""Lightning: runs that are gone on with, and failures that nobody can miss."""

import threading
from pathlib import Path
from typing import Any

import pytest

from strongroom.client import Client
from strongroom.errors import InvalidArgumentError, NotFoundError, UnavailableError
from tests.client.trees import write_tree

# It warns of much that is no concern of ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("error::ResourceWarning"),
]

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
lightning = pytest.importorskip("lightning.pytorch", reason="it is not installed")
demos = pytest.importorskip("lightning.pytorch.demos.boring_classes")
ours = pytest.importorskip("strongroom.integrations.lightning")


def trainer_of(folder: Path, plugin: Any, directory: str, epochs: int) -> Any:  # noqa: ANN401 - of Lightning
    keeps = lightning.callbacks.ModelCheckpoint(
        dirpath=directory, save_top_k=1, monitor="epoch", mode="max", save_last=True
    )
    return lightning.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        limit_train_batches=2,
        limit_val_batches=0,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[plugin],
        callbacks=[keeps],
    )


@pytest.mark.parametrize(
    "plugin", [ours.StrongroomCheckpointIO, ours.AsyncStrongroomCheckpointIO]
)
def test_a_run_goes_on_from_its_last_checkpoint(
    room: Client, artifact: str, tmp_path: Path, plugin: type[Any]
) -> None:
    directory = f"strongroom://{artifact}"

    first = trainer_of(tmp_path, plugin(room), directory, 1)
    first.fit(demos.BoringModel())
    weights = first.model.layer.weight.detach().clone()
    again = demos.BoringModel()
    second = trainer_of(tmp_path, plugin(), directory, 3)
    started: list[Any] = []
    again.on_train_start = lambda: started.append(
        (second.current_epoch, again.layer.weight.detach().clone())
    )
    second.fit(again, ckpt_path=f"{directory}/last.ckpt", weights_only=False)

    [(epoch, loaded)] = started
    assert epoch == 1
    assert torch.equal(loaded, weights)
    assert second.global_step == 6
    # What it removed is gone from the newest version, and the older ones have it.
    assert {file.path for file in room.list_files(artifact)} == {
        "epoch=2-step=6.ckpt",
        "last.ckpt",
    }
    assert {file.path for file in room.list_files(f"{artifact}@1")} == {
        "epoch=0-step=2.ckpt"
    }
    assert room.artifact(artifact).kind == "CHECKPOINT"


def test_a_path_that_cannot_be_written_is_refused(room: Client, artifact: str) -> None:
    plugin = ours.StrongroomCheckpointIO(room)

    for path in (f"strongroom://{artifact}", f"strongroom:/{artifact}@1/a.ckpt"):
        with pytest.raises(InvalidArgumentError):
            plugin.save_checkpoint({}, path)
    with pytest.raises(InvalidArgumentError, match="no storage options"):
        plugin.save_checkpoint({}, f"strongroom://{artifact}/a", {"a": 1})
    with pytest.raises(NotFoundError):
        plugin.load_checkpoint(f"strongroom://{artifact}/a.ckpt")


def test_a_checkpoint_that_cannot_be_pickled_leaves_no_version(
    room: Client, artifact: str
) -> None:
    plugin = ours.StrongroomCheckpointIO(room)

    with pytest.raises(TypeError, match="cannot pickle"):
        plugin.save_checkpoint({"a": threading.Lock()}, f"strongroom://{artifact}/a")

    assert plugin.result is None
    with pytest.raises(NotFoundError):
        room.artifact(artifact)


def test_what_is_saved_meanwhile_is_what_was_there_then(
    room: Client, artifact: str
) -> None:
    plugin = ours.AsyncStrongroomCheckpointIO(room)
    state = {"w": torch.ones(1 << 20), "names": ["a"]}
    path = f"strongroom://{artifact}/a.ckpt"

    plugin.save_checkpoint(state, path)
    state["w"].zero_()
    state["names"].append("b")
    loaded = plugin.load_checkpoint(path)
    plugin.teardown()

    assert torch.equal(loaded["w"], torch.ones(1 << 20))
    assert loaded["names"] == ["a"]


def test_a_late_failure_is_raised_by_the_next_save_or_the_end(
    room: Client, artifact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.push(write_tree(tmp_path / "in", {"a": b"1"}), artifact, kind="CHECKPOINT")
    plugin = ours.AsyncStrongroomCheckpointIO(room)
    path = f"strongroom://{artifact}/a.ckpt"

    def refuse(*_: object, **__: object) -> None:
        message = "planted"
        raise UnavailableError(message)

    with monkeypatch.context() as broken:
        broken.setattr(torch, "save", refuse)
        plugin.save_checkpoint({"a": 1}, path)
        with pytest.raises(UnavailableError, match="planted"):
            plugin.save_checkpoint({"a": 2}, path)
        plugin.save_checkpoint({"a": 3}, path)
        with pytest.raises(UnavailableError, match="planted"):
            plugin.teardown()
    plugin.teardown()  # each failure is told once
    plugin.save_checkpoint({"a": 4}, path)
    plugin.teardown()

    assert plugin.load_checkpoint(path) == {"a": 4}
    plugin.remove_checkpoint(path)
    assert [file.path for file in room.list_files(artifact)] == ["a"]

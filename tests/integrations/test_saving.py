# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of torch's tensors: what is saved behind a training is what it had."""

from pathlib import Path

import pytest

from strongroom.client import Client

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
safetensors = pytest.importorskip("safetensors.torch", reason="it is not installed")


def test_a_training_goes_on_from_what_was_saved(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(512, 700), torch.nn.Linear(700, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    kept = {}
    loss = torch.zeros(1)
    with room.checkpoints(artifact) as checkpoints:
        checkpoints.prepare(model.state_dict())
        for step in range(4):
            optimizer.zero_grad()
            loss = model(torch.randn(8, 512)).square().sum()
            loss.backward()
            optimizer.step()
            checkpoints.save(
                model.state_dict(),
                step=step,
                state={"sampler": list(range(step))},
                metrics={"loss": loss},
            )
            kept[step] = {
                name: tensor.clone() for name, tensor in model.state_dict().items()
            }
        checkpoints.wait(120)
        newest = checkpoints.load()
        first = checkpoints.load(1)

    assert newest.step == 3
    assert newest.state == {"sampler": [0, 1, 2]}
    assert newest.metrics == {"loss": loss.item()}
    assert newest.version.number == 4
    assert (first.step, first.state) == (0, {"sampler": []})
    for found, step in ((newest, 3), (first, 0)):
        assert found.tensors.keys() == kept[step].keys()
        assert all(
            torch.equal(found.tensors[name], tensor)
            for name, tensor in kept[step].items()
        )
    model.load_state_dict(newest.tensors)
    # And others read it, too.
    room.pull(f"{artifact}@4/model.safetensors", tmp_path / "model.safetensors")
    read = safetensors.load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(read[name], tensor) for name, tensor in kept[3].items())


def test_what_is_only_a_view_of_other_numbers_is_saved_as_what_it_is(
    room: Client, artifact: str
) -> None:
    values = torch.randn(5, dtype=torch.complex64)
    tensors = {"conjugate": values.conj(), "negative": values.conj().imag}
    with room.checkpoints(artifact) as checkpoints:
        checkpoints.save(tensors, step=1).result(120)
        found = checkpoints.load()

    assert found.tensors["conjugate"].tolist() == values.conj().tolist()
    assert found.tensors["negative"].tolist() == (-values.imag).tolist()


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float16", "float64", "int8", "bool", "float8_e4m3fn"]
)
def test_every_type_stride_and_shape_is_saved_as_it_is(
    room: Client, artifact: str, dtype: str
) -> None:
    values = (torch.randn(6, 10, 4) * 3).to(getattr(torch, dtype))
    tensors = {
        "whole": values,
        "turned": values.permute(2, 0, 1),
        "every other": values[:, ::2],
        "one": values[0, 0, 0],
        "none": values[:0],
        "wanted": torch.nn.Parameter(torch.randn(3, 3)),
    }
    with room.checkpoints(artifact) as checkpoints:
        checkpoints.save(tensors, step=1, state=b"\x80bytes").result(120)
        found = checkpoints.load()

    assert found.state == b"\x80bytes"
    for name, tensor in tensors.items():
        saved = found.tensors[name]
        assert (saved.dtype, saved.shape) == (tensor.dtype, tensor.shape)
        assert saved.tolist() == tensor.tolist()

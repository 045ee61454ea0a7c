# SPDX-License-Identifier: Apache-2.0
"""State dictionaries and data sets, where torch is installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.client import Client
from strongroom.config import ClientSettings
from strongroom.errors import IntegrityError, InvalidArgumentError, NotFoundError
from tests.client.engine import PACK_BYTES, Engine, running_engine
from tests.client.trees import write_tree

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
bridge = pytest.importorskip("strongroom.integrations.torch")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with running_engine() as running:
        yield running


@pytest.fixture
def settings(engine: Engine, tmp_path: Path) -> ClientSettings:
    return engine.settings(tmp_path / "certificates")


@pytest.fixture
def client(settings: ClientSettings) -> Iterator[Client]:
    with Client(settings) as connected:
        yield connected


def test_a_state_dictionary_comes_back_equal(client: Client) -> None:
    state = {
        "weight": torch.randn(300, 500),
        "half": torch.randn(3).bfloat16(),
        "count": torch.arange(7),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(1.5),
        "transposed": torch.randn(4, 5).t(),
    }

    saved = bridge.save_state_dict(client, state, "demo/state", files={"a/b": b"1"})
    loaded = bridge.load_state_dict(client, "demo/state")

    assert saved.version.file_count == 2
    assert client.read_bytes("demo/state/a/b") == b"1"
    assert set(loaded) == set(state)
    for name, tensor in state.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_what_is_no_state_of_tensors_is_refused(client: Client) -> None:
    tied = torch.ones(3)
    wrong = (
        ({"step": 1}, "'step' is int, not a tensor"),
        ({"model": {"w": tied}}, "'model' is dict, not a tensor"),
        ("demo/model", "str is no mapping"),
        ({"a": tied, "b": tied}, "share memory"),
    )
    for state, told in wrong:
        with pytest.raises(InvalidArgumentError, match=told) as caught:
            bridge.save_state_dict(client, state, "demo/no-tensors")
        assert caught.value.hint
    with pytest.raises(NotFoundError):
        client.show("demo/no-tensors")


def test_only_the_named_tensors_are_yielded(client: Client) -> None:
    state = {"a": torch.randn(3), "b": torch.randn(4)}
    bridge.save_state_dict(client, state, "demo/some", path="x.safetensors")

    found = dict(client.tensors("demo/some/x.safetensors", names=["b"]))

    assert list(found) == ["b"]
    assert torch.equal(found["b"], state["b"])
    with pytest.raises(KeyError, match="no tensor 'z'"):
        dict(client.tensors("demo/some/x.safetensors", names=["z"]))


def test_damaged_weights_are_not_loaded(engine: Engine, client: Client) -> None:
    state = {"a": torch.randn(PACK_BYTES)}
    bridge.save_state_dict(client, state, "demo/damaged")
    engine.flip_stored_bits()

    with pytest.raises(IntegrityError):
        bridge.load_state_dict(client, "demo/damaged")


def test_what_is_no_safetensors_file_is_refused(client: Client, tmp_path: Path) -> None:
    client.push(
        write_tree(tmp_path / "in", {"model.safetensors": b"x" * 99}), "demo/no"
    )

    with pytest.raises(IntegrityError):
        bridge.load_state_dict(client, "demo/no")
    with pytest.raises(NotFoundError):
        bridge.load_state_dict(client, "demo/no/other")


def test_torch_itself_loads_from_an_open_file(client: Client, tmp_path: Path) -> None:
    state = {"a": torch.randn(100, 100)}
    (tmp_path / "in").mkdir()
    torch.save(state, tmp_path / "in/state.pt")
    client.push(tmp_path / "in", "demo/pt")

    with client.open("demo/pt/state.pt") as file:
        loaded = torch.load(file, weights_only=True)

    assert torch.equal(loaded["a"], state["a"])

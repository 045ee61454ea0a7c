# SPDX-License-Identifier: Apache-2.0
"""Hugging Face's libraries: data sets by URL, and models offline from a pull."""

# ruff: noqa: ANN401
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from strongroom.client import Client
from strongroom.errors import InvalidArgumentError

filesystem = pytest.importorskip("strongroom.integrations.filesystem")

WEIGHTS: Final = random.Random(7).randbytes(100_000)


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = pytest.importorskip("datasets", reason="not in this environment")
    monkeypatch.setattr(module.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    module.disable_progress_bars()
    return module


def test_load_dataset_reads_parquet_by_url(
    datasets: Any, artifact: str, tmp_path: Path
) -> None:
    pandas = pytest.importorskip("pandas")
    fs = filesystem.StrongroomFileSystem()
    with fs.transaction:
        for part in range(3):
            rows = pandas.DataFrame({"id": range(part * 100, part * 100 + 100)})
            rows.to_parquet(f"strongroom://{artifact}/data/part-{part}.parquet")

    found = datasets.load_dataset(
        "parquet",
        data_files=f"strongroom://{artifact}/data/*.parquet",
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    streamed = datasets.load_dataset(
        "parquet",
        data_files=[f"strongroom://{artifact}@1/data/part-1.parquet"],
        split="train",
        streaming=True,
    )

    assert found["id"] == list(range(300))
    assert [row["id"] for row in streamed] == list(range(100, 200))


def test_each_version_is_another_data_set(
    datasets: Any, artifact: str, tmp_path: Path
) -> None:
    """Their cache goes by the URL, so that a version belongs into it."""
    fs = filesystem.StrongroomFileSystem()
    seen = []

    for number in (1, 2):
        fs.pipe_file(f"{artifact}/rows.csv", f"id\n{number}\n".encode())
        rows = datasets.load_dataset(
            "csv",
            data_files=f"strongroom://{artifact}@{number}/rows.csv",
            split="train",
            cache_dir=str(tmp_path / "cache"),
        )
        seen.append(rows["id"][:])

    assert seen == [[1], [2]]


def test_a_data_set_is_saved_as_one_version_and_loaded_from_it(
    datasets: Any, room: Client, artifact: str
) -> None:
    fs = filesystem.StrongroomFileSystem()
    rows = datasets.Dataset.from_dict({"id": list(range(1000))})

    with fs.transaction:
        rows.save_to_disk(f"strongroom://{artifact}/rows", num_shards=2)
    found = datasets.load_from_disk(f"strongroom://{artifact}@1/rows")

    assert room.show(artifact).number == 1
    assert found["id"] == rows["id"]


# Layout of a pull.


def write_model(folder: Path) -> dict[str, bytes]:
    files = {
        "config.json": b'{"model_type": "bert"}',
        "tokenizer/vocab.txt": b"[PAD]\n",
        "model.bin": WEIGHTS,
        "copy.bin": WEIGHTS,
    }
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return files


def test_a_pull_in_the_layout_hf_is_what_their_cache_holds(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    files = write_model(tmp_path / "model")
    version = room.push(tmp_path / "model", artifact, kind="weights").version
    room.move_ref(artifact, "prod", 1)
    cache = tmp_path / "hub"

    result = room.pull(f"{artifact}@prod", cache, layout="hf")

    commit = version.digest.removeprefix("sha256:")[:40]
    folder = cache / f"models--{artifact.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    assert result.target == str(snapshot)
    assert result.file_count == len(files)
    assert {
        str(path.relative_to(snapshot)): path.read_bytes()
        for path in snapshot.rglob("*")
        if path.is_file()
    } == files
    assert all(path.is_symlink() for path in snapshot.rglob("*.bin"))
    refs = {path.name: path.read_text() for path in (folder / "refs").iterdir()}
    assert refs == {"main": commit, "1": commit, "prod": commit}
    assert len(list((folder / "blobs").iterdir())) == len(set(files.values()))
    assert {path.name for path in folder.iterdir()} == {"blobs", "refs", "snapshots"}


def test_a_second_pull_of_a_version_fetches_nothing_and_of_another_moves_main(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    write_model(tmp_path / "model")
    room.push(tmp_path / "model", artifact, kind="weights")
    cache = tmp_path / "hub"
    first = room.pull(artifact, cache, layout="hf")
    again = room.pull(artifact, cache, layout="hf")
    (tmp_path / "model" / "config.json").write_bytes(b"{}")
    room.push(tmp_path / "model", artifact)
    second = room.pull(artifact, cache, layout="hf")

    assert (again.target, again.received_bytes) == (first.target, 0)
    assert second.target != first.target
    main = Path(second.target).parents[1] / "refs" / "main"
    assert main.read_text() == Path(second.target).name
    assert (Path(first.target) / "config.json").read_bytes() != b"{}"


def test_a_blob_that_somebody_changed_is_not_taken_for_what_it_was(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    write_model(tmp_path / "model")
    room.push(tmp_path / "model", artifact, kind="weights")
    cache = tmp_path / "hub"
    first = room.pull(artifact, cache, layout="hf")
    for blob in (Path(first.target).parents[1] / "blobs").iterdir():
        blob.write_bytes(b"changed")
    (tmp_path / "model" / "new.txt").write_bytes(b"new")
    room.push(tmp_path / "model", artifact)

    second = room.pull(artifact, cache, layout="hf")

    assert (Path(second.target) / "model.bin").read_bytes() == WEIGHTS


def test_data_sets_lie_beside_models(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    write_model(tmp_path / "rows")
    room.push(tmp_path / "rows", artifact, kind="dataset")

    result = room.pull(artifact, tmp_path / "hub", layout="hf")

    name = f"datasets--{artifact.replace('/', '--')}"
    assert Path(result.target).parents[1].name == name


def test_what_their_libraries_have_no_place_for_is_refused(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    write_model(tmp_path / "model")
    room.push(tmp_path / "model", artifact)
    room.push(tmp_path / "model", f"{artifact}--x")

    cases: tuple[tuple[str, dict[str, Any], str], ...] = (
        (f"{artifact}/config.json", {}, "less than a version"),
        (f"{artifact}--x", {}, "take no name like"),
        (artifact, {"keep_partial": True}, "nothing partial"),
    )
    for uri, options, problem in cases:
        with pytest.raises(InvalidArgumentError, match=problem):
            room.pull(uri, tmp_path / "hub", layout="hf", **options)
    with pytest.raises(InvalidArgumentError, match="is not one of plain, hf"):
        room.pull(artifact, tmp_path / "hub", layout="zip")  # type: ignore[arg-type]  # refused
    assert not (tmp_path / "hub").exists()


LOADING: Final = """
import sys
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer
name, revision = sys.argv[1:]
model = AutoModel.from_pretrained(name, revision=revision)
config = AutoConfig.from_pretrained(name)
total = model.pooler.dense.weight.detach().sum()
print(type(model).__name__, config.hidden_size, float(total))
"""


def test_from_pretrained_loads_offline_what_a_pull_has_fetched(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers", reason="not in this environment")
    pytest.importorskip("torch")
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=20,
    )
    model = transformers.BertModel(config)
    model.save_pretrained(tmp_path / "model")
    room.push(tmp_path / "model", artifact, kind="weights")
    room.pull(artifact, tmp_path / "hub", layout="hf")

    done = subprocess.run(
        [sys.executable, "-c", LOADING, artifact, "1"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "HF_HUB_CACHE": str(tmp_path / "hub"),
            "HF_HUB_OFFLINE": "1",
            "HOME": str(tmp_path),
        },
    )

    total = float(model.pooler.dense.weight.detach().sum())
    assert done.stdout.split()[:2] == ["BertModel", "16"], done.stderr
    assert float(done.stdout.split()[2]) == pytest.approx(total)

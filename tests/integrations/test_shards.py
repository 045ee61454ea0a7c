# SPDX-License-Identifier: Apache-2.0
"""Shards by `strongroom://`: WebDataset and MosaicML streaming."""

# ruff: noqa: ANN401
import io
import json
import sys
import tarfile
import types
from pathlib import Path
from typing import Any

import pytest

from strongroom.client import Client
from strongroom.errors import InvalidArgumentError, NotFoundError

pytest.importorskip("strongroom.integrations.filesystem")


def write_shards(folder: Path, *, shards: int, samples: int) -> None:
    folder.mkdir()
    for shard in range(shards):
        with tarfile.open(folder / f"shard-{shard:03}.tar", "w") as archive:
            for sample in range(samples):
                content = json.dumps({"id": shard * samples + sample}).encode()
                entry = tarfile.TarInfo(f"{shard:03}{sample:05}.json")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))


def test_webdataset_reads_shards_by_url(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    webdataset = pytest.importorskip("webdataset", reason="not in this environment")
    pytest.importorskip("strongroom.integrations.webdataset")
    write_shards(tmp_path / "shards", shards=3, samples=100)
    room.push(tmp_path / "shards", artifact)

    data = webdataset.WebDataset(
        f"strongroom://{artifact}@1/shard-{{000..002}}.tar", shardshuffle=False
    ).decode()
    ids = [sample["json"]["id"] for sample in data]

    assert ids == list(range(300))


def test_a_shard_that_is_missing_or_to_be_written_is_an_error(artifact: str) -> None:
    pytest.importorskip("webdataset", reason="not in this environment")
    from strongroom.integrations.webdataset import (  # noqa: PLC0415 - as it is there
        open_shard,
    )

    with pytest.raises(NotFoundError):
        open_shard(f"strongroom://{artifact}/none.tar")
    with pytest.raises(InvalidArgumentError, match="with the mode 'wb'"):
        open_shard(f"strongroom://{artifact}/new.tar", "wb")


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> Any:
    """MosaicML's library; of torchvision, which has no build for all of torch's, it
    needs no more than two names."""
    transformers = pytest.importorskip("transformers", reason="not in this environment")
    if not transformers.utils.is_torchvision_available():
        for name in ("torchvision", "torchvision.datasets", "torchvision.transforms"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        functional = types.ModuleType("torchvision.transforms.functional")
        monkeypatch.setitem(sys.modules, functional.__name__, functional)
        monkeypatch.setattr(
            sys.modules["torchvision.datasets"], "VisionDataset", object, raising=False
        )
        monkeypatch.setattr(functional, "to_tensor", bytes, raising=False)
    return pytest.importorskip("streaming", reason="not in this environment")


@pytest.mark.filterwarnings("ignore")  # it is from before 2026 and says so at length
def test_mosaicml_streams_shards_by_url(
    streaming: Any, room: Client, artifact: str, tmp_path: Path
) -> None:
    pytest.importorskip("strongroom.integrations.mosaic")
    with streaming.MDSWriter(
        out=str(tmp_path / "mds"), columns={"id": "int"}, size_limit=4096
    ) as writer:
        for number in range(500):
            writer.write({"id": number})
    room.push(tmp_path / "mds", artifact)

    data = streaming.StreamingDataset(
        remote=f"strongroom://{artifact}@1",
        local=str(tmp_path / "local"),
        shuffle=False,
        batch_size=10,
    )
    ids = [sample["id"] for sample in data]

    assert len(data.shards) > 1
    assert sorted(ids) == list(range(500))

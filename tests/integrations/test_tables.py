# SPDX-License-Identifier: Apache-2.0
"""Tables by `strongroom://`: pandas, pyarrow, DuckDB, with nothing but the URL."""

# ruff: noqa: ANN401, S608
from typing import Any

import pytest

from strongroom.client import Client
from strongroom.errors import CancelledError, NotFoundError

filesystem = pytest.importorskip("strongroom.integrations.filesystem")
pandas = pytest.importorskip("pandas", reason="not in this environment")
pyarrow = pytest.importorskip("pyarrow", reason="not in this environment")
dataset = pytest.importorskip("pyarrow.dataset")
parquet = pytest.importorskip("pyarrow.parquet")

ROWS = 50_000


@pytest.fixture
def frame() -> Any:
    numbers = range(ROWS)
    return pandas.DataFrame(
        {"id": numbers, "group": [n % 7 for n in numbers], "text": map(str, numbers)}
    )


def test_pandas_writes_and_reads_parquet_and_csv(
    room: Client, artifact: str, frame: Any
) -> None:
    frame.to_parquet(f"strongroom://{artifact}/table.parquet")
    frame.to_csv(f"strongroom://{artifact}/table.csv.gz", index=False)

    parquet = pandas.read_parquet(f"strongroom://{artifact}/table.parquet")
    some = pandas.read_parquet(
        f"strongroom://{artifact}@1/table.parquet",
        columns=["id"],
        filters=[("id", ">=", ROWS - 3)],
    )
    csv = pandas.read_csv(f"strongroom://{artifact}/table.csv.gz", dtype={"text": str})

    pandas.testing.assert_frame_equal(parquet, frame)
    pandas.testing.assert_frame_equal(csv, frame)
    assert list(some["id"]) == [ROWS - 3, ROWS - 2, ROWS - 1]
    assert room.show(artifact).number == 2


def test_a_table_that_fails_halfway_is_not_stored(room: Client, artifact: str) -> None:
    class Broken:
        def __str__(self) -> str:
            message = "no text"
            raise RuntimeError(message)

    rows = pandas.DataFrame({"id": [*range(ROWS), Broken()]})

    with pytest.raises((CancelledError, RuntimeError)):
        rows.to_csv(f"strongroom://{artifact}/table.csv", chunksize=100)

    with pytest.raises(NotFoundError):
        room.show(artifact)


def test_pyarrow_writes_a_partitioned_data_set_as_one_version(
    room: Client, artifact: str, frame: Any
) -> None:
    fs = filesystem.StrongroomFileSystem()
    table = pyarrow.Table.from_pandas(frame)

    with fs.transaction:
        parquet.write_to_dataset(
            table, f"{artifact}/parts", partition_cols=["group"], filesystem=fs
        )
    found = dataset.dataset(
        f"{artifact}/parts", filesystem=fs, format="parquet", partitioning="hive"
    )

    assert room.show(artifact).number == 1
    assert room.show(artifact).file_count == 7
    assert found.count_rows() == ROWS
    only = found.to_table(filter=dataset.field("group") == 3, columns=["id"])
    assert only.num_rows == len(range(3, ROWS, 7))


def test_pyarrow_reads_columns_by_ranges(artifact: str, frame: Any) -> None:
    fs = filesystem.StrongroomFileSystem()
    frame.to_parquet(f"strongroom://{artifact}/table.parquet", row_group_size=10_000)

    with fs.open(f"{artifact}/table.parquet") as file:
        found = parquet.ParquetFile(file).read_row_group(2, columns=["text"])

    assert found.column("text").to_pylist() == [str(n) for n in range(20_000, 30_000)]


def test_duckdb_joins_tables_that_lie_in_a_strongroom(
    artifact: str, frame: Any
) -> None:
    duckdb = pytest.importorskip("duckdb", reason="not in this environment")
    fs = filesystem.StrongroomFileSystem()
    with fs.transaction:
        for part in range(3):
            rows = frame[frame["id"] % 3 == part]
            rows.to_parquet(f"strongroom://{artifact}/part-{part}.parquet")

    with duckdb.connect() as database:
        database.register_filesystem(fs)
        (found,) = database.execute(
            "select count(*), sum(id), max(text) "
            f"from read_parquet('strongroom://{artifact}/part-*.parquet') "
            'where "group" = 1'
        ).fetchall()
        database.execute(
            f"copy (select 42 as answer) to 'strongroom://{artifact}/out.csv'"
        )

    group = frame[frame["group"] == 1]
    assert found == (len(group), int(group["id"].sum()), group["text"].max())
    assert fs.cat_file(f"{artifact}/out.csv") == b"answer\n42\n"

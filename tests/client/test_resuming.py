# SPDX-License-Identifier: Apache-2.0
"""Connections that break or fall silent in the middle of a transfer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from strongroom._transfer import resuming
from strongroom.client import Client
from strongroom.errors import (
    DeadlineExceededError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from tests.client.engine import Engine, impatient
from tests.client.trees import FILES, MIB, leftovers, read_tree, write_tree
from tests.support.cutting_proxy import CuttingProxy, Plan, cutting_proxy


@contextmanager
def proxied(
    engine: Engine, folder: Path, *plans: Plan, stall_s: float = 20.0
) -> Iterator[tuple[Client, CuttingProxy]]:
    """Yield a client whose first connections meet `plans`."""
    with cutting_proxy(f"http://{engine.endpoint}") as proxy:
        proxy.plans.extend(plans)
        endpoint = proxy.endpoint.removeprefix("http://")
        settings = engine.settings(folder / "proxied", endpoint=endpoint)
        with Client(impatient(settings, stall_s)) as client:
            yield client, proxy


@pytest.mark.parametrize("cut_bytes", [20_000, 700_000, 2_000_000, 4_100_000])
def test_a_pull_goes_on_where_it_broke(
    engine: Engine, client: Client, tmp_path: Path, cut_bytes: int
) -> None:
    client.push(write_tree(tmp_path / "in", FILES), "demo/resumed")

    with proxied(engine, tmp_path, Plan(answer_bytes=cut_bytes)) as (cut, proxy):
        pulled = cut.pull("demo/resumed", tmp_path / "out")

    assert read_tree(tmp_path / "out") == dict(FILES)
    assert pulled.received_bytes == sum(map(len, FILES.values()))
    assert proxy.connection_count > 1


def test_a_pull_of_one_file_goes_on_where_it_broke(
    engine: Engine, client: Client, tmp_path: Path
) -> None:
    client.push(write_tree(tmp_path / "in", FILES), "demo/one-resumed")
    path = "a/c/größe 日本.bin"

    with proxied(engine, tmp_path, Plan(answer_bytes=1_500_000)) as (cut, _):
        cut.pull(f"demo/one-resumed/{path}", tmp_path / "out.bin")

    assert (tmp_path / "out.bin").read_bytes() == FILES[path]


def test_a_resumed_pull_stays_with_the_version_it_began_with(
    engine: Engine, client: Client, tmp_path: Path
) -> None:
    client.push(write_tree(tmp_path / "in", FILES), "demo/pinned")
    newer = write_tree(tmp_path / "newer", {"other": b"2"})

    def push_newer(_: object) -> None:
        client.push(newer, "demo/pinned")

    with proxied(engine, tmp_path, Plan(answer_bytes=1_500_000)) as (cut, _):
        pulled = cut.pull("demo/pinned", tmp_path / "out", progress=push_newer)

    assert pulled.version.number == 1
    assert client.show("demo/pinned").number == 2
    assert read_tree(tmp_path / "out") == dict(FILES)


def test_an_open_file_goes_on_where_it_broke(
    engine: Engine, client: Client, tmp_path: Path
) -> None:
    client.push(write_tree(tmp_path / "in", FILES), "demo/open-resumed")
    path = "a/c/größe 日本.bin"

    with proxied(engine, tmp_path, Plan(answer_bytes=1_500_000)) as (cut, _):
        content = cut.read_bytes(f"demo/open-resumed/{path}")

    assert content == FILES[path]


def test_a_push_that_breaks_is_sent_again_once(
    engine: Engine, client: Client, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "in", {**FILES, "big": bytes(16 * MIB)})

    # Behind the handshake, among the first answers of the stream.
    with proxied(engine, tmp_path, Plan(answer_bytes=3_400)) as (cut, proxy):
        pushed = cut.push(tree, "demo/pushed-again")

    assert proxy.connection_count > 1
    assert pushed.version.number == 1
    assert client.verify("demo/pushed-again").damaged_count == 0
    assert len(list(client.list_versions("demo/pushed-again"))) == 1


def test_a_small_file_of_a_draft_is_sent_again_however_it_was_written(
    engine: Engine, tmp_path: Path
) -> None:
    # Behind the handshake, among the first answers of the stream.
    with proxied(engine, tmp_path, Plan(answer_bytes=3_400)) as (cut, proxy):
        draft = cut.draft("demo/sent-again")
        with draft.writer("file") as writer:
            for _ in range(48):
                writer.write(bytes(MIB // 16))
        draft.commit(expected_file_count=1)

    assert proxy.connection_count > 1


def test_a_connection_that_keeps_breaking_is_an_error_and_leaves_nothing(
    engine: Engine, client: Client, tmp_path: Path
) -> None:
    client.push(write_tree(tmp_path / "in", FILES), "demo/hopeless")
    plans = [Plan(answer_bytes=30_000), *([Plan(answer_bytes=0)] * 30)]

    with (
        proxied(engine, tmp_path, *plans) as (cut, _),
        pytest.raises(StrongroomError) as caught,
    ):
        cut.pull("demo/hopeless", tmp_path / "out")

    assert isinstance(caught.value, UnavailableError)
    assert not (tmp_path / "out").exists()
    assert leftovers(tmp_path) == []


def test_a_pull_from_a_server_that_falls_silent_once_goes_on(
    engine: Engine, client: Client, tmp_path: Path
) -> None:
    client.push(write_tree(tmp_path / "in", FILES), "demo/silent-once")
    plan = Plan(answer_bytes=500_000, stalls=True)

    with proxied(engine, tmp_path, plan, stall_s=1.0) as (cut, proxy):
        cut.pull("demo/silent-once", tmp_path / "out")

    assert read_tree(tmp_path / "out") == dict(FILES)
    assert proxy.connection_count == 2


def test_a_server_that_falls_silent_is_given_up(
    engine: Engine, client: Client, tmp_path: Path
) -> None:
    client.push(write_tree(tmp_path / "in", FILES), "demo/silent")
    plans = [
        Plan(answer_bytes=500_000, stalls=True),
        Plan(answer_bytes=5_000, stalls=True),
    ]

    with (
        proxied(engine, tmp_path, *plans, stall_s=1.0) as (cut, proxy),
        pytest.raises(DeadlineExceededError) as caught,
    ):
        cut.pull("demo/silent", tmp_path / "out")

    assert caught.value.reason is Reason.STALLED
    assert proxy.connection_count == 2
    assert leftovers(tmp_path) == []


def test_a_slow_reader_is_no_stalled_server(
    engine: Engine, tmp_path: Path, client: Client, pause: Callable[[float], None]
) -> None:
    client.push(write_tree(tmp_path / "in", FILES), "demo/slow")
    settings = impatient(engine.settings(tmp_path / "slow"), 0.2)

    with Client(settings) as slow:
        slow.pull("demo/slow", tmp_path / "out", progress=lambda _: pause(0.3))

    assert read_tree(tmp_path / "out") == dict(FILES)


def test_waits_grow_and_end() -> None:
    resumption = resuming.Resumption()
    broken = UnavailableError("gone", reason=Reason.TRANSPORT)

    for _ in range(3):
        resumption._left -= 1

    with pytest.raises(UnavailableError):
        resumption.wait_after(broken)


def test_what_will_not_pass_is_not_tried_again() -> None:
    sealed = UnavailableError("sealed", reason=Reason.KEY_SERVICE_SEALED)

    with pytest.raises(UnavailableError):
        resuming.Resumption().wait_after(sealed)

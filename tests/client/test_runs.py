# SPDX-License-Identifier: Apache-2.0
"""What is read in a run becomes the inputs of what is written in it, by itself."""

import contextvars
import errno
import multiprocessing
import os
import pickle
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strongroom import _lineage
from strongroom.client import Client
from strongroom.client.catalog import parse_artifact
from strongroom.errors import InvalidArgumentError, NotFoundError, PreconditionError
from strongroom.values import Version, VersionInput, VersionState
from tests.client.trees import write_tree


@pytest.fixture
def pushed(client: Client, tmp_path: Path) -> Callable[..., Version]:
    """Pushes a small version with a content of its own."""

    def push(artifact: str) -> Version:
        folder = tmp_path / os.urandom(6).hex()
        write_tree(folder, {"file": os.urandom(20), "more/file": b"more"})
        return client.push(folder, artifact).version

    return push


def names(version: Version) -> list[str]:
    return [item.name for item in version.inputs]


def test_all_ways_of_reading_are_seen(
    client: Client, pushed: Callable[..., Version], tmp_path: Path
) -> None:
    for way in ("pulled", "opened", "mapped", "whole", "into", "seen", "read", "said"):
        pushed(f"ways/{way}")
    pushed("ways/before")
    client.read_bytes("ways/before/file")

    with client.run("all of them") as run:
        client.pull("ways/pulled", tmp_path / "out")
        with client.open("ways/opened/file") as file:
            file.read(1)
        client.map("ways/mapped/file")
        client.read_bytes("ways/whole/file")
        client.read_into("ways/into@1/file", bytearray(3))
        client.show("ways/seen")
        assert len(list(client.list_files("ways/seen"))) == 2
        with client.reader("ways/read") as reader:
            reader.read_many(["file"])
        client.add_input("ways/said")
        made = pushed("ways/made")
        client.read_bytes("ways/seen/file")
    after = pushed("ways/after")

    read = ["pulled", "opened", "mapped", "whole", "into", "read", "said"]
    assert names(made) == [f"ways/{way}@1" for way in read]
    assert made.run == "all of them"
    assert [item.digest for item in made.inputs] == [
        client.show(item.name).digest for item in made.inputs
    ]
    assert client.show("ways/made") == made
    assert [item.name for item in run.inputs] == [*names(made), "ways/seen@1"]
    assert (after.run, after.inputs) == ("", ())


def test_what_was_opened_before_a_run_and_is_read_in_it_is_an_input(
    client: Client, pushed: Callable[..., Version]
) -> None:
    for name in ("file", "reader", "untouched"):
        pushed(f"before/{name}")
    with (
        client.open("before/file/file") as file,
        client.open("before/untouched/file") as untouched,
        client.reader("before/reader") as reader,
    ):
        file.read(1)
        untouched.read(1)
        reader.read("file", length=1)
        with client.run():
            file.read(1)
            reader.read("file", length=1)
            made = pushed("before/made")

    assert names(made) == ["before/file@1", "before/reader@1"]


def test_a_draft_says_what_was_read_by_its_commit(
    client: Client, pushed: Callable[..., Version]
) -> None:
    pushed("drafted/texts")
    with client.run("training"):
        draft = client.draft("drafted/model")
        draft.put("weights", b"1")
        client.read_bytes("drafted/texts/file")
        first = draft.commit().version
        assert client.read_bytes("drafted/model/weights") == b"1"
        again = client.draft("drafted/model")
        again.put("weights", b"2")
        second = again.commit().version

    assert names(first) == ["drafted/texts@1"]
    assert names(second) == ["drafted/texts@1", "drafted/model@1"]


def test_runs_may_be_nested(client: Client, pushed: Callable[..., Version]) -> None:
    for name in ("outer", "inner"):
        pushed(f"nested/{name}")
    with client.run("outer"):
        client.read_bytes("nested/outer/file")
        with client.run("inner"):
            client.read_bytes("nested/inner/file")
            both = pushed("nested/both")
        outer = pushed("nested/later")

    assert (both.run, names(both)) == (
        "outer/inner",
        ["nested/outer@1", "nested/inner@1"],
    )
    assert (outer.run, sorted(names(outer))) == (
        "outer",
        ["nested/inner@1", "nested/outer@1"],
    )


def in_a_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_threads_take_part_and_runs_beside_each_other_do_not(
    client: Client, pushed: Callable[..., Version]
) -> None:
    for name in ("mine", "hers", "nobodys"):
        pushed(f"threads/{name}")
    made: dict[str, Version] = {}
    both_are_on = threading.Barrier(2)
    everybody_has_read = threading.Barrier(2)

    def train(who: str) -> None:
        with client.run(who):
            both_are_on.wait(timeout=10)
            context = contextvars.copy_context()
            read = f"threads/{who}/file"
            in_a_thread(lambda: context.run(client.read_bytes, read))
            if who == "mine":
                # A thread that knows of no run is in both.
                in_a_thread(lambda: client.read_bytes("threads/nobodys/file"))
            everybody_has_read.wait(timeout=10)
            made[who] = pushed(f"threads/made-{who}")

    trainers = [threading.Thread(target=train, args=[who]) for who in ("mine", "hers")]
    for trainer in trainers:
        trainer.start()
    for trainer in trainers:
        trainer.join()

    for who in ("mine", "hers"):
        assert made[who].run == who
        assert set(names(made[who])) == {f"threads/{who}@1", "threads/nobodys@1"}


def read_elsewhere(client: Client, uri: str) -> None:
    """Read in another process, which may have been sent the client."""
    with client:
        client.read_bytes(uri)


def exit_of(a_worker: Callable[[], Any]) -> int | None:
    """Run a worker to its end; return its exit code, or None where all hung.

    A forked worker hangs where gRPC skips its handlers of the fork, which it
    does while another thread is in it. The server of these tests shares their
    process and may be. No trainer has a server in its process: the integrations
    fork from such. So a worker that hangs is tried again, and one that fails not.
    """
    for _ in range(4):
        worker = a_worker()
        worker.start()
        worker.join(timeout=20)
        if worker.exitcode is not None:
            return int(worker.exitcode)
        worker.kill()
        worker.join(timeout=10)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fork", "spawn", "forkserver"])
def test_other_processes_take_part(
    client: Client,
    pushed: Callable[..., Version],
    kind: str,
) -> None:
    project = f"workers-{kind}"
    for name in ("here", "there"):
        pushed(f"{project}/{name}")
    context: Any = multiprocessing.get_context(kind)

    with client.run("workers"):
        client.read_bytes(f"{project}/here/file")
        left_with = exit_of(
            lambda: context.Process(
                target=read_elsewhere, args=(client, f"{project}/there/file")
            )
        )
        made = pushed(f"{project}/made")

    assert left_with == 0
    assert names(made) == [f"{project}/here@1", f"{project}/there@1"]


def test_a_client_that_comes_back_takes_part_once(
    client: Client, pushed: Callable[..., Version]
) -> None:
    pushed("pickled/texts")
    with client.run("here") as run:
        with pickle.loads(pickle.dumps(client)) as same:  # noqa: S301 - made here
            same.read_bytes("pickled/texts/file")
        told = pickle.dumps(client)
        assert len(run.inputs) == 1
    # The run is over by the time that this one is unpacked.
    with pickle.loads(told) as late:  # noqa: S301 - made here
        late.read_bytes("pickled/texts/file")
        assert pushed("pickled/made").inputs == ()


def test_a_run_leaves_nothing_behind(client: Client) -> None:
    folders = []

    def fail() -> None:
        with client.run("fails") as run:
            folders.append(run._notes.path.parent)
            assert folders[0].stat().st_mode & 0o777 == 0o700
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not folders[0].exists()
    assert _lineage.current_lineage(client.settings.endpoint) is None


def test_a_run_of_another_strongroom_sees_nothing(
    client: Client, pushed: Callable[..., Version]
) -> None:
    pushed("other/texts")
    with _lineage.entered(_lineage.RunNotes.begin("elsewhere", "elsewhere:1")) as run:
        client.read_bytes("other/texts/file")
        made = pushed("other/made")

    assert (run.inputs, made.inputs, made.run) == ((), (), "")


def test_what_does_not_fit_is_counted(
    client: Client, pushed: Callable[..., Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lineage, "MAX_INPUTS", 2)
    for name in ("a", "b", "c"):
        pushed(f"many/{name}")
    with client.run():
        for name in ("a", "b", "c"):
            client.read_bytes(f"many/{name}/file")
        made = pushed("many/made")

    assert (names(made), made.more_inputs) == (["many/a@1", "many/b@1"], 1)
    assert client.lineage("many/made").incomplete


def test_a_run_within_a_run_says_that_its_name_was_cut(
    client: Client, pushed: Callable[..., Version]
) -> None:
    with client.run("o" * 100), client.run("i" * 100):
        made = pushed("nested/long")

    assert made.run == "o" * 100 + "/" + "i" * 26 + "…"


def test_an_input_is_refused_where_no_run_is_on(
    client: Client, pushed: Callable[..., Version]
) -> None:
    pushed("lost/texts")
    with pytest.raises(PreconditionError, match="no run is on") as caught:
        client.add_input("lost/texts")
    assert "client.run" in caught.value.hint


def test_a_run_without_a_folder_for_notes_is_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(PreconditionError) as caught, client.run("no folder"):
        pytest.fail("nobody gets here")
    assert "TMPDIR" in caught.value.hint


def no_room(_descriptor: int, _data: bytes) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("problem", ["unwritable", "cut", "much", "unreadable"])
def test_no_read_fails_because_of_notes_and_what_they_lack_is_told(
    client: Client,
    pushed: Callable[..., Version],
    monkeypatch: pytest.MonkeyPatch,
    problem: str,
) -> None:
    pushed(f"notes/{problem}")
    with client.run() as run:
        path = run._notes.path
        worker = _lineage.RunNotes(run._notes.token)
        if problem == "unwritable":
            with monkeypatch.context() as patched:
                patched.setattr(os, "write", no_room)
                worker.note(VersionInput(parse_artifact("notes/a"), 1, "sha256:00"))
        elif problem == "cut":
            path.write_text('["projects/notes/art\n')
        elif problem == "much":
            monkeypatch.setattr(_lineage, "_MAX_NOTES_BYTES", 10)
            path.write_text(20 * "x")
        else:
            path.unlink()
            path.mkdir()
        client.read_bytes(f"notes/{problem}/file")
        made = pushed(f"notes/made-{problem}")

    assert (names(made), made.more_inputs) == ([f"notes/{problem}@1"], 1)


@pytest.mark.parametrize("name", ["r" * 129, "two\nlines"])
def test_a_name_that_cannot_be_is_refused_before_anything_is_read(
    client: Client, name: str
) -> None:
    with (
        pytest.raises(InvalidArgumentError, match="a run's name"),
        client.run(name),
    ):
        pytest.fail("nobody gets here")


def test_lineage_is_followed_both_ways(
    client: Client, pushed: Callable[..., Version]
) -> None:
    pushed("followed/texts")
    for name in ("base", "tuned"):
        with client.run(name):
            source = "texts" if name == "base" else "base"
            client.read_bytes(f"followed/{source}/file")
            pushed(f"followed/{name}")
    client.delete("followed/base@1")

    middle = client.lineage("followed/base@1")
    far = client.lineage("followed/texts")

    assert middle.version.state is VersionState.DELETED
    assert [step.name for step in middle.sources] == ["followed/texts@1"]
    assert [step.name for step in middle.results] == ["followed/tuned@1"]
    assert [(step.name, step.distance, step.run, step.via) for step in far.results] == [
        ("followed/base@1", 1, "base", ("followed/texts@1",)),
        ("followed/tuned@1", 2, "tuned", ("followed/base@1",)),
    ]
    assert far.results[0].state is VersionState.DELETED
    assert not far.incomplete
    with pytest.raises(NotFoundError):
        client.lineage("followed/none@1")

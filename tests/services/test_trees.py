# SPDX-License-Identifier: Apache-2.0
"""What is acknowledged can be pulled: no file is a folder, too; no id lies."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import InvalidArgumentError, NotFoundError, Reason
from strongroom.format.digest import VersionDigester, path_order
from tests.support.properties import QUICK
from tests.support.world import World


@pytest.mark.parametrize(
    "paths", [("a", "a/b"), ("a", "a-b", "a/b"), ("a/b", "a/b/c/d"), ("é", "é/é")]
)
def test_a_file_that_is_a_folder_too_is_refused(
    world: World, paths: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidArgumentError, match="is a file") as caught:
        world.push(dict.fromkeys(paths, b"1"))

    assert caught.value.reason is Reason.PATH_MALFORMED


def lies_on_disk(paths: list[str], folder: Path) -> bool:
    try:
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(b"")
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return False
    return True


SEGMENTS = st.text("ab-", min_size=1, max_size=2)
PATHS = st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join)


@QUICK
@given(paths=st.lists(PATHS, unique=True, max_size=8))
def test_exactly_what_a_disk_can_hold_is_taken(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str]
) -> None:
    ordered = sorted(paths, key=path_order)
    digester = VersionDigester()
    taken = True
    try:
        for path in ordered:
            digester.add(path, 0, "sha256:" + "0" * 64)
    except InvalidArgumentError:
        taken = False

    assert taken is lies_on_disk(ordered, tmp_path_factory.mktemp("disk"))


def test_a_request_id_of_other_content_is_no_success(world: World) -> None:
    world.push({"a": b"1"}, request_id="r")

    with pytest.raises(InvalidArgumentError, match="other content"):
        world.push({"a": b"2"}, request_id="r")

    assert world.versions() == [1]


def test_a_missing_ref_does_not_tell_the_others(world: World) -> None:
    world.push({"a": b"1"})
    world.move("secret-name", "1")

    with pytest.raises(NotFoundError) as caught:
        world.pull("prod")

    assert "secret-name" not in str(caught.value)

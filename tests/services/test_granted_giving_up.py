# SPDX-License-Identifier: Apache-2.0
"""Writing by grant that ends badly: what it held goes back, whatever went wrong."""

import pytest

from strongroom_server.repository.content_writer import ContentWriter
from strongroom_server.repository.writer_packs import WriterPacks
from tests.support.granted_writers import Writer
from tests.support.world import memory_world


def test_the_upload_lets_go_although_its_packs_cannot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = list[str]()
    abort = ContentWriter.abort

    def abort_content(self: ContentWriter) -> None:
        ended.append("content")
        abort(self)

    def fail(_self: WriterPacks) -> None:
        message = "cannot schedule new futures after shutdown"
        raise RuntimeError(message)

    monkeypatch.setattr(WriterPacks, "abort", fail)
    monkeypatch.setattr(ContentWriter, "abort", abort_content)
    with (
        memory_world() as world,
        pytest.raises(RuntimeError, match="shutdown"),
        Writer(world).begin(),
    ):
        pass

    assert ended == ["content"]

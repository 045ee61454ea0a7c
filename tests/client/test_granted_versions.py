# SPDX-License-Identifier: Apache-2.0
"""Versions that a sidecar has digested: what clients hear, and what they send anew."""

from pathlib import Path

from strongroom.client import Client
from strongroom.format.names import ArtifactName
from tests.client.engine import Engine
from tests.client.trees import read_tree, write_tree
from tests.support.granted_writers import SIDECAR, Writer
from tests.support.samples import filled

FILES = {f"a/{number:03}": filled(f"{number}", 3000) for number in range(120)}


def test_files_that_only_a_sidecar_has_seen_are_sent_by_the_client_itself(
    engine: Engine, client: Client, tmp_path: Path
) -> None:
    name = ArtifactName("demo", "granted")
    Writer(engine.world).push(FILES, name)
    tree = write_tree(tmp_path / "in", FILES)

    result = client.push(tree, name.short)

    assert (result.version.number, result.unchanged) == (2, False)
    assert (result.same_bytes, result.sent_bytes) == (0, sum(map(len, FILES.values())))
    assert client.show(f"{name.short}@1").digested_by == (SIDECAR,)
    assert client.show(f"{name.short}@2").digested_by == ()
    client.pull(f"{name.short}@1", tmp_path / "out")
    assert read_tree(tmp_path / "out") == FILES

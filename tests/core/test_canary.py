# SPDX-License-Identifier: Apache-2.0
"""The canary: the same bytes for a store for ever, and others for each store."""

from strongroom.format.digest import VersionDigester, path_order
from strongroom_server.core.canary import canary_digest, canary_files
from tests.support.samples import STORE, filled

#: It never changes: stores that exist have this one.
DIGEST = "sha256:59b79c74d4a69d18cef84520f5e4aa43c49da79d8621c897f06fb207590f58df"


def test_a_stores_canary_is_what_it_always_was() -> None:
    assert canary_digest(STORE) == DIGEST


def test_each_store_has_its_own() -> None:
    mine, other = canary_files(STORE), canary_files(filled("another store", 16))

    assert [file.path for file in mine] == [file.path for file in other]
    differ = [one.data != two.data for one, two in zip(mine, other, strict=True)]
    assert differ == [bool(file.data) for file in mine]
    assert canary_digest(filled("another store", 16)) != canary_digest(STORE)


def test_its_files_come_in_order_and_add_up() -> None:
    digester = VersionDigester()

    files = canary_files(STORE)
    for file in files:
        digester.add(file.path, len(file.data), file.digest)

    assert digester.digest() == canary_digest(STORE)
    assert [file.path for file in files] == sorted(
        (file.path for file in files), key=path_order
    )
    sizes = sorted(len(file.data) for file in files)
    assert sizes[0] == 0
    assert 1_000_000 < sum(sizes) < 2_000_000

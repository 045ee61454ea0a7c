# SPDX-License-Identifier: Apache-2.0
"""A pack that is damaged on its way to a sidecar is fetched anew by all its readers."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.sidecars import FILES, ONE, sidecar_world


@pytest.mark.parametrize("readers", [1, 8])
def test_what_is_damaged_on_its_way_is_fetched_anew_by_all_who_read_it(
    readers: int,
) -> None:
    with sidecar_world() as sidecar, ThreadPoolExecutor(readers) as pool:
        sidecar.world.push(FILES)
        sidecar.packs.damaged = 1
        found = list(pool.map(sidecar.read, [ONE] * readers))

    assert sidecar.packs.damaged == 0
    assert found == [FILES] * readers

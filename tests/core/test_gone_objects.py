# SPDX-License-Identifier: Apache-2.0
"""What is said of stored objects that are not there any more."""

import pytest

from strongroom.errors import Reason
from strongroom_server.core.stored_objects import gone


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("packs/ab/abcd", Reason.CHUNK_MISSING),
        ("manifests/ab/abcd", Reason.MANIFEST_MISSING),
        ("journals/a/b/00000000000000000001", Reason.RECORD_CORRUPT),
    ],
)
def test_what_is_gone_is_named_with_the_reason_of_its_kind(
    key: str, reason: Reason
) -> None:
    error = gone(key)

    assert (error.reason, error.metadata["key"]) == (reason, key)
    assert key in error.message

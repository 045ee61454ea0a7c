# SPDX-License-Identifier: Apache-2.0
"""Settings of approvals: what is refused, and what becomes of the rest."""

from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import InvalidArgumentError, PreconditionError
from strongroom_server.config import load_settings
from strongroom_server.core.approval_log import ApprovalState
from strongroom_server.core.revocation import Revocations
from strongroom_server.opening import open_approving
from tests.rpc.people import MOVE_REF
from tests.rpc.test_config import changed
from tests.support.security_keys import ALICE, BASTION
from tests.support.world import memory_world


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        ("approvals", {"expire_s": 0}, "approvals.expire_s"),
        ("approvals", {"expire_s": 86_401}, "approvals.expire_s"),
        ("approvals", {"expire_s": "long"}, "approvals.expire_s"),
        ("approvals", {"max_pending": 0}, "approvals.max_pending"),
        ("approvals", {"people": 2}, "approvals.people"),
        ("operators", {"rp_id": "example.org"}, "operators.rp_id"),
        ("operators", {"credentials_file": "/etc/c.toml"}, "operators.rp_id"),
        (
            "operators",
            {"rp_id": "https://example.org", "credentials_file": "/etc/c.toml"},
            "operators.rp_id",
        ),
        (
            "operators",
            {"rp_id": "Example.org", "credentials_file": "/etc/c.toml"},
            "operators.rp_id",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(
    section: str, values: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=named):
        load_settings(changed(section, **values), {})


def test_approvals_last_as_long_as_is_set() -> None:
    settings = load_settings(changed("approvals", expire_s=60, max_pending=1), {})

    with memory_world() as world:
        book = open_approving(settings, world.repository, Revocations)
        asked = book.request(
            MOVE_REF, b"", "why not", requester=ALICE, workload=BASTION
        )

    assert asked.request.expire_s - asked.request.create_s == 60
    assert book.keys is None
    assert dict(book.alarms) == {}


def test_a_server_believes_the_keys_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "credentials.toml"
    settings = load_settings(
        changed("operators", rp_id="example.org", credentials_file=str(file)), {}
    )

    with memory_world() as world:
        with pytest.raises(PreconditionError, match="cannot be read"):
            open_approving(settings, world.repository, Revocations)
        file.write_text("")
        book = open_approving(settings, world.repository, Revocations)

    assert book.keys is not None
    assert book.keys.relying_party == "example.org"
    assert book.keys.origin == "https://example.org"
    assert [*book.alarms] == ["credentials"]


def test_an_approval_of_a_method_of_another_release_is_listed() -> None:
    settings = load_settings(changed("listen"), {})

    with memory_world() as world:
        book = open_approving(settings, world.repository, Revocations)
        book.request(
            "/strongroom.v1.NewService/New",
            b"",
            "of a newer server",
            requester=ALICE,
            workload=BASTION,
        )
        (found,) = book.alive().approvals

        assert book.state(found) is ApprovalState.PENDING

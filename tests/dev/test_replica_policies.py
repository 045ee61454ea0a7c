# SPDX-License-Identifier: Apache-2.0
"""The shipped policies of a replicator: it reads on one side, and never deletes."""

import json
from pathlib import Path
from typing import Any

import pytest

SHIPPED = Path(__file__).parents[2] / "deploy" / "s3"
READING = {
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:GetObject",
    "s3:GetObjectVersion",
}


def actions(name: str, effect: str) -> set[str]:
    document: dict[str, Any] = json.loads((SHIPPED / f"{name}.json").read_text("utf-8"))
    return {
        action
        for item in document["Statement"]
        if item["Effect"] == effect
        for action in item["Action"]
    }


def test_in_the_primarys_bucket_a_replicator_only_reads() -> None:
    assert actions("replica-reader", "Allow") == READING


def test_in_the_replicas_bucket_it_writes_and_never_deletes() -> None:
    assert actions("replica-writer", "Allow") == READING | {"s3:PutObject"}


@pytest.mark.parametrize("action", ["s3:DeleteObject", "s3:DeleteObjectVersion"])
def test_a_wider_rule_elsewhere_does_not_give_it(action: str) -> None:
    assert action in actions("replica-writer", "Deny")

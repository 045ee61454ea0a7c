# SPDX-License-Identifier: Apache-2.0
"""Vectors for what a replica's bucket says of itself, and what reads them."""

from typing import Any

from strongroom_server.core import canonical, replica_record
from strongroom_server.core.replica_record import ReplicaRecord, ReplicaState
from tests.support.samples import STORE, TIME
from tests.vectors.cases import make_case
from tests.vectors.key_cases import Case

Fields = dict[str, Any]


def shown(record: ReplicaRecord) -> list[str]:
    """Return what a record says, for the file."""
    return [record.store.hex(), record.state.value, record.time.isoformat()]


def read_replica_record(_: Fields, case: Fields) -> object:
    """Read a record of a replica."""
    return shown(replica_record.parse_record(case["record"].encode()))


def replica_records() -> list[Case]:
    """Return cases of records of replicas."""
    time = TIME.replace(microsecond=0)
    good = [ReplicaRecord(STORE, state, time) for state in ReplicaState]
    data = replica_record.format_record(good[0])
    body = canonical.decode_object(data, 4096)
    bad = {
        "another type": body | {"type": "strongroom"},
        "a state that is none": body | {"state": "leading"},
        "a state of another type": body | {"state": 1},
        "a store too short": body | {"store": "00"},
        "a store that is no hex": body | {"store": "x" * 32},
        "a store in upper case": body | {"store": "AB" * 16},
        "a time without a zone": body | {"time": "2026-11-01T12:30:15"},
        "a time of another zone": body | {"time": "2026-11-01T12:30:15+01:00"},
        "a time that says more": body | {"time": "2026-11-01T12:30:15.5+00:00"},
        "no time": {name: body[name] for name in body if name != "time"},
        "a field too many": body | {"more": 1},
        "a format that is none": body | {"format": 0},
        "a format that is a truth": body | {"format": True},
    }
    return [
        *[
            make_case(
                record.state.value,
                {
                    "record": replica_record.format_record(record).decode(),
                    "result": shown(record),
                },
            )
            for record in good
        ],
        *[
            make_case(name, {"record": _text(item)}, "RECORD_CORRUPT")
            for name, item in bad.items()
        ],
        make_case("not canonical", {"record": data.decode() + "\n"}, "RECORD_CORRUPT"),
        make_case(
            "a later format",
            {"record": _text(body | {"format": 2})},
            "FORMAT_UNSUPPORTED",
        ),
    ]


def _text(body: Fields) -> str:
    return canonical.encode(body).decode()

# SPDX-License-Identifier: Apache-2.0
"""Every RPC, every shipped role, and resources of one's own and of others, as a table.

`python -m tests.rpc.access_table` asks a real server and writes `access_table.csv`
anew. Read the difference like code before it is committed: it is who may do what.
"""

import csv
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from strongroom_server.adapters.cedar import CedarAuthorizer, shipped_policies
from strongroom_server.adapters.cedar.policies import parse_policies
from strongroom_server.core.assignments import parse_assignments
from strongroom_server.core.operators import PREFIX
from strongroom_server.rpc.methods import METHODS
from strongroom_server.rpc.serve import SERVICES
from tests.rpc.authority import DEVELOPER, TRUST_DOMAIN
from tests.rpc.engine import serving_world
from tests.rpc.people import WORKSTATION, Metadata, bearing
from tests.rpc.running import read_failure
from tests.rpc.serving import Served, write, write_requests

TABLE: Final = Path(__file__).with_suffix(".csv")
HEADING: Final = ("rpc", "action", "role", "own", "missing", "foreign", "absent")
ROLES: Final = parse_policies(shipped_policies()).roles
NOBODY: Final = "nobody"
#: The roles of people, who have them after a fresh login and after an old one.
PEOPLE: Final = ("approver", "auditor", "operator", "security-officer")
FRESH: Final = " (person)"
OLD: Final = " (old login)"
#: Who calls, as the table names them: programs by their role, then people.
CALLERS: Final = (
    *ROLES,
    NOBODY,
    *(role + FRESH for role in PEOPLE),
    *(role + OLD for role in PEOPLE),
)
DENIED: Final = "deny"
#: What a call lacks that would be allowed with it.
LACKING: Final = {"STEP_UP_REQUIRED": "sign in", "APPROVAL_REQUIRED": "approval"}
#: Cells of those who may not, or not so.
REFUSED: Final = frozenset({DENIED, *LACKING.values()})
#: There is one server and one list of projects: nothing missing, nothing absent.
NONE: Final = "-"
#: Has each role in one project only, and none on the server.
ELSEWHERE: Final = "-elsewhere"

_POOL: Final = descriptor_pool.Default()
RPCS: Final[dict[str, Any]] = {
    f"/{service}/{method.name}": method
    for service in SERVICES
    for method in _POOL.FindServiceByName(service).methods
}


@dataclass(frozen=True)
class Place:
    """Where a call goes: a project and an artifact."""

    project: str
    artifact: str


#: Assigned and there; assigned and not there; there, but not assigned; neither.
OWN: Final = Place("demo", "minilm")
MISSING: Final = Place("gone", "nothing")
FOREIGN: Final = Place("other", "minilm")
ABSENT: Final = Place("nowhere", "nothing")
PLACES: Final = (OWN, MISSING, FOREIGN, ABSENT)

#: The first request of each RPC, `@` for the artifact and `#` for the project.
_REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "ExplainAccess": {"action": "server.info", "resource": "server"},
    "RequestApproval": {
        "method": "/strongroom.v1.ArtifactService/ListProjects",
        "reason": "asked",
    },
    "ListApprovals": {},
    "GetApproval": {"name": "approvals/00000000-0000000000"},
    "WithdrawApproval": {"name": "approvals/00000000-0000000000"},
    "DecideApproval": {"name": "approvals/00000000-0000000000", "deny": {}},
    "CreateProject": {"project_id": "#"},
    "ListProjects": {},
    "CreateArtifact": {"parent": "projects/#", "artifact_id": "#"},
    "ListArtifacts": {"parent": "projects/#"},
    "GetArtifact": {"name": "@"},
    "GetVersion": {"name": "@/versions/1"},
    "ListVersions": {"parent": "@"},
    "ListFiles": {"parent": "@/versions/1"},
    "ListJournalEntries": {"parent": "@"},
    "DiffVersions": {"base": "@/versions/1", "target": "@/versions/2"},
    "MoveRef": {"name": "@/refs/prod", "version": "2"},
    "DeleteVersion": {"name": "@/versions/1", "validate_only": True},
    "UndeleteVersion": {"name": "@/versions/1"},
    "SetHold": {"name": "@/versions/1", "hold": False, "reason": "asked"},
    "SetPolicy": {
        "name": "@",
        "policy": {"keep_last": 2, "trash_days": 30, "codec": "raw", "cuts": "aligned"},
    },
    "ExplainRetention": {"name": "@"},
    "GetLineage": {"name": "@/versions/1"},
    "ListReaders": {"parent": "@/versions/1"},
    "WriteVersion": {"start": {"parent": "@"}},
    "CommitDraft": {"parent": "@", "draft_id": "of-an-access-table"},
    "DiscardDraft": {"parent": "@", "draft_id": "of-an-access-table"},
    "ReadVersion": {"name": "@/versions/1"},
    "ReadFiles": {"start": {"name": "@/versions/1"}},
    "OpenVersion": {"name": "@/versions/1"},
    "WriteGranted": {"start": {"parent": "@"}},
    "WatchGrants": {"names": ["@/versions/1"]},
    "VerifyVersion": {"name": "@/versions/1"},
    "VerifyStore": {"name": "@"},
    "RepairVersion": {"start": {"name": "@/versions/1"}},
    "PlanSweep": {"name": "projects/#"},
    "ApplySweep": {"start": {"reason": "asked"}},
    "ExplainObject": {"object": "strongroom.json"},
    "RebuildIndex": {},
    "CheckServer": {},
    "GetServerInfo": {},
    "ListKeys": {},
    "RotateKeks": {},
    "RewrapSlots": {"name": "projects/#"},
    "RetireKeks": {},
    "StartEpoch": {"name": "projects/#"},
    "PreviewShred": {"name": "projects/#"},
    "ShredProject": {"name": "projects/#", "reason": "asked"},
    "ShredArtifact": {"name": "@", "reason": "asked"},
    "GetShredReceipt": {"name": "projects/#"},
    "ListShredded": {},
    "ListSigningKeys": {},
    "CreateBackup": {},
    "ListBackups": {},
    "GetBackup": {},
    "VerifyBackup": {},
    "ExtendBackup": {"number": 1},
    "SetBackupHold": {"number": 1},
    "RestoreVersions": {"name": "@/versions/1", "backup": 1, "request_id": "asked"},
    "RunDrill": {},
    "ListDrills": {},
    "GetDrill": {"drill": 1},
}


@dataclass(frozen=True)
class Answer:
    """What a caller sees of a call."""

    code: str
    reason: str
    message: str

    @property
    def cell(self) -> str:
        """The answer as the table has it."""
        if self.reason == "ACTION_NOT_ALLOWED":
            return DENIED
        return LACKING.get(self.reason, self.code)


@dataclass(frozen=True)
class Row:
    """What one caller sees of one RPC."""

    rpc: str
    role: str
    answers: tuple[Answer | None, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as the table has it."""
        service_and_method = self.rpc.rpartition(".")[2]
        cells = (answer.cell if answer else NONE for answer in self.answers)
        return (service_and_method, METHODS[self.rpc].action, self.role, *cells)


def collect() -> Iterator[Row]:
    """Ask a real server everything, in the table's order."""
    with serving_world(_authorizer()) as (world, server):
        served = Served(world, server)
        _fill(served)
        for caller in CALLERS:
            with (
                _line(served, caller) as line,
                _line(served, caller, ELSEWHERE) as other,
            ):
                for rpc, values in _asked():
                    answers: tuple[Answer | None, ...]
                    if _is_placed(values):
                        answers = tuple(_answers(line, rpc, caller, values))
                    else:
                        own, foreign = (
                            _ask(item, rpc, values) for item in (line, other)
                        )
                        answers = (own, None, foreign, None)
                    yield Row(rpc, caller, answers)


@dataclass(frozen=True)
class Line:
    """How somebody calls."""

    channel: grpc.Channel
    metadata: Metadata = ()


@contextmanager
def _line(served: Served, caller: str, where: str = "") -> Iterator[Line]:
    """Connect a program, or the workstation of a person who has signed in."""
    role, _, login = caller.partition(" (")
    if not login:
        with served.server.channel(served.issue(_principal(role + where))) as channel:
            yield Line(channel)
        return
    age_s = 0 if caller.endswith(FRESH) else 3600
    token = served.server.logins.sign_in(role + where, age_s=age_s)
    with served.server.channel(served.issue(WORKSTATION)) as channel:
        yield Line(channel, bearing(token))


def render(rows: Iterator[Row]) -> str:
    """Return the table, sorted by RPC, roles in their order."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADING)
    table = [row.cells for row in rows]
    table.sort(key=itemgetter(0))
    writer.writerows(table)
    return text.getvalue()


def _asked() -> Iterator[tuple[str, dict[str, Any]]]:
    for rpc in RPCS:
        yield rpc, _REQUESTS[rpc.rpartition("/")[2]]


def _is_placed(values: dict[str, Any]) -> bool:
    return "#" in str(values) or "@" in str(values)


def _answers(
    line: Line, rpc: str, caller: str, values: dict[str, Any]
) -> Iterator[Answer]:
    for place in PLACES:
        if rpc.endswith("/CreateProject") and place is MISSING:
            yield _ask(line, rpc, {"project_id": _new_project(caller)})
            continue
        yield _ask(line, rpc, _placed(values, place))


def _new_project(caller: str) -> str:
    role, _, login = caller.partition(" (")
    return f"new-{role}-{login[:3]}" if login else f"new-{role}"


def _placed(value: Any, place: Place) -> Any:  # noqa: ANN401 (as deep as a request)
    match value:
        case str():
            name = f"projects/{place.project}/artifacts/{place.artifact}"
            return value.replace("@", name).replace("#", place.project)
        case list():
            return [_placed(item, place) for item in value]
        case dict():
            return {key: _placed(item, place) for key, item in value.items()}
        case _:
            return value


def _ask(line: Line, rpc: str, values: dict[str, Any]) -> Answer:
    # On the wire a call of any kind is a stream of requests and of answers.
    call: Any = line.channel.stream_stream(rpc)
    request = _request(rpc, values)
    try:
        requests = iter([request.SerializeToString()])
        responses = call(requests, timeout=30, metadata=line.metadata)
        # A watch never ends; it is allowed once it begins.
        list(islice(responses, 1) if rpc.endswith("/WatchGrants") else responses)
        responses.cancel()
    except grpc.RpcError as error:
        failed = read_failure(error)
        return Answer(failed.code, failed.reason, failed.message)
    return Answer("OK", "", "")


def _request(rpc: str, values: dict[str, Any]) -> Message:
    message = message_factory.GetMessageClass(RPCS[rpc].input_type)(**values)
    request: Any = message
    for target in (request, getattr(request, "start", None)):
        if target is not None and "request_id" in target.DESCRIPTOR.fields_by_name:
            target.request_id = str(uuid.uuid4())
    return message


def _fill(served: Served) -> None:
    with served.server.channel(served.issue(DEVELOPER)) as channel:
        for place in (OWN, FOREIGN):
            name = f"projects/{place.project}/artifacts/{place.artifact}"
            for content in (b"one", b"two"):
                requests = write_requests({"file": content}, parent=name)
                write(served.stubs(channel), requests)


def _principal(role: str) -> str:
    return f"spiffe://{TRUST_DOMAIN}/ns/table/sa/{role}/job/1"


def _person(role: str) -> str:
    return PREFIX + role


def _new_resource(role: str, end: str) -> str:
    return f"projects/{_new_project(role + end)}"


def _authorizer() -> CedarAuthorizer:
    given = [(role, role, _principal) for role in ROLES]
    given += [(f"person-{role}", role, _person) for role in PEOPLE]
    assignments: list[dict[str, Any]] = [
        {
            "id": assignment_id,
            "principal": name(role),
            "roles": [role],
            "resources": [
                *(f"projects/{place.project}/*" for place in (OWN, MISSING)),
                *(_new_resource(role, end) for end in ("", FRESH, OLD)),
                *("projects", "server"),
            ],
        }
        for assignment_id, role, name in given
    ]
    elsewhere: list[dict[str, Any]] = [
        {
            "id": assignment_id + ELSEWHERE,
            "principal": name(role + ELSEWHERE),
            "roles": [role],
            "resources": [f"projects/{OWN.project}/*"],
        }
        for assignment_id, role, name in given
    ]
    filler = {
        "id": "filler",
        "principal": DEVELOPER,
        "roles": ["writer"],
        "resources": ["projects/*"],
    }
    document = {"assignments": [*assignments, *elsewhere, filler]}
    return CedarAuthorizer(shipped_policies(), parse_assignments(document))


@contextmanager
def _told_apart() -> Iterator[list[str]]:
    before = TABLE.read_text().splitlines() if TABLE.exists() else []
    changed: list[str] = []
    yield changed
    after = TABLE.read_text().splitlines()
    changed += [f"- {line}" for line in before if line not in {*after}]
    changed += [f"+ {line}" for line in after if line not in {*before}]


def main() -> int:
    """Write the table anew, and say what changed."""
    with _told_apart() as changed:
        TABLE.write_text(render(collect()))
    sys.stdout.writelines(f"{line}\n" for line in changed)
    sys.stdout.write(f"{TABLE.name}: {len(changed)} lines differ; review them\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

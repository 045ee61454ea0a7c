# SPDX-License-Identifier: Apache-2.0
"""Tombstones: signed word that something was shredded; believed by every server.

A tombstone is of a project, with every key domain in it, or of one artifact that has
a key domain of its own. It is written before the KEK is destroyed. From then on
nothing of it is opened, whatever lies in the bucket or in Vault. Its clear header says
what is dead, so that whoever has the public keys can check it; what died is in its
encrypted body, for the receipt.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import canonical, dsse, layout
from strongroom_server.core.scope import ID_BYTES, Scope, format_id, parse_id
from strongroom_server.core.signatures import (
    PublicKey,
    Signature,
    SignatureAlgorithm,
    verify_signatures,
)

PAYLOAD_TYPE: Final = "application/vnd.strongroom.tombstone.v1"
#: magic, format, zero, store, project, domain, microseconds: 68 bytes
HEADER: Final = struct.Struct(">4sB3s16s18s18sQ")
MAGIC: Final = b"SRT1"
#: Of a project's tombstone; and of the order for a project without other domains.
FORMAT: Final = 1
#: Of an artifact's tombstone: its id comes behind the header. Of an order: it names
#: an artifact, or further domains.
ARTIFACT_FORMAT: Final = 2
MAX_TOMBSTONE_BYTES: Final = 4 * 1024 * 1024
MAX_BODY_BYTES: Final = 2 * 1024 * 1024
#: What the names of dead artifacts and refs may come to; the rest is counted.
MAX_NAMED_BYTES: Final = 1024 * 1024
#: Key slots that are named.
MAX_SLOTS: Final = 2000
#: Key domains that are named; the journals tell of the others.
MAX_DOMAINS: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS: Final = frozenset(
    {
        "approval_id", "approvers", "artifact_count", "artifacts", "audit_id",
        "format", "project", "reason", "ref_count", "request_id", "requester",
        "slots", "stored_bytes", "trace_id", "version_count",
    }
)  # fmt: skip
_MORE_FIELDS: Final = _FIELDS | {"artifact", "domains"}


@dataclass(frozen=True, slots=True)
class DoomedArtifact:
    """What dies with one artifact: how many versions, and which refs."""

    artifact: str
    artifact_id: str
    kind: str
    version_count: int
    refs: Mapping[str, int]

    def shown(self) -> dict[str, Any]:
        """Return it as records and receipts have it."""
        return {
            "artifact": self.artifact,
            "artifact_id": self.artifact_id,
            "kind": self.kind,
            "refs": dict(self.refs),
            "version_count": self.version_count,
        }


@dataclass(frozen=True, slots=True)
class Doomed:
    """What dies with a project; or one artifact alone.

    Attributes:
        artifacts: By name; as many as may be named.
        artifact_count: All of them.
        version_count: Versions of all of them, but those that sweeps have taken.
        ref_count: Refs of all of them.
        stored_bytes: What their pushes stored.
    """

    artifacts: tuple[DoomedArtifact, ...] = ()
    artifact_count: int = 0
    version_count: int = 0
    ref_count: int = 0
    stored_bytes: int = 0

    @property
    def unnamed_count(self) -> int:
        """How many artifacts are counted and not named."""
        return self.artifact_count - len(self.artifacts)


@dataclass(frozen=True, slots=True)
class ShredOrder:
    """Who had a project or an artifact shredded, why, and what died.

    Attributes:
        project: The project's name.
        reason: Why.
        requester: Who asked.
        approval_id: The approval under which it was done; "" if none was needed.
        approvers: Who approved.
        request_id: Of the call.
        trace_id: Of the call.
        audit_id: The call's entry in the audit log.
        slots: The keys of the key slots that there were.
        doomed: What died.
        artifact: The artifact's name; "" if the whole project was shredded.
        domains: Ids of the domains of artifacts that died with their project.
    """

    project: str
    reason: str
    requester: str
    approval_id: str
    approvers: tuple[str, ...]
    request_id: str
    trace_id: str
    audit_id: str
    slots: tuple[str, ...] = ()
    doomed: Doomed = field(default_factory=Doomed)
    artifact: str = ""
    domains: tuple[bytes, ...] = ()

    @property
    def told(self) -> str:
        """What was shredded, as people write it: `project` or `project/artifact`."""
        return f"{self.project}/{self.artifact}" if self.artifact else self.project


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A verified tombstone.

    Attributes:
        scope: The key domain that is dead, at epoch 0.
        time: When it was decided, by the clock of the server that did it.
        sealed_order: The `ShredOrder`, encrypted under the store's own key.
        artifact: The 18-byte id of the artifact that alone has this domain; b"" if
            the project is dead, with every domain in it.
    """

    scope: Scope
    time: datetime
    sealed_order: bytes
    artifact: bytes = b""

    @property
    def prefix(self) -> str:
        """What it lies below, with its receipt."""
        return layout.shred_prefix(self.scope.project, self.own_domain)

    @property
    def own_domain(self) -> bytes:
        """The domain of the artifact that it is of; b"" if it is of a project."""
        return self.scope.domain if self.artifact else b""


def order_location(prefix: str) -> str:
    """Return what the encrypted order is bound to."""
    return f"{prefix}order"


def format_order(order: ShredOrder) -> dict[str, Any]:
    """Return an order as the body of a control object."""
    body = _common_fields(order)
    if order.artifact or order.domains:
        domains = [format_id(domain) for domain in order.domains[:MAX_DOMAINS]]
        more = {"artifact": order.artifact, "domains": domains}
        return {**body, **more, "format": ARTIFACT_FORMAT}
    return body


def _common_fields(order: ShredOrder) -> dict[str, Any]:
    doomed = order.doomed
    return {
        "format": FORMAT,
        "project": order.project,
        "reason": order.reason,
        "requester": order.requester,
        "approval_id": order.approval_id,
        "approvers": list(order.approvers),
        "request_id": order.request_id,
        "trace_id": order.trace_id,
        "audit_id": order.audit_id,
        "slots": list(order.slots[:MAX_SLOTS]),
        "artifacts": [item.shown() for item in doomed.artifacts],
        "artifact_count": doomed.artifact_count,
        "version_count": doomed.version_count,
        "ref_count": doomed.ref_count,
        "stored_bytes": doomed.stored_bytes,
    }


def parse_order(body: Mapping[str, Any]) -> ShredOrder:
    """Return the order that `format_order` wrote.

    Raises:
        IntegrityError: It is malformed (RECORD_CORRUPT).
    """
    try:
        known = {FORMAT: _FIELDS, ARTIFACT_FORMAT: _MORE_FIELDS}
        if set(body) != set(known.get(body["format"], ())):
            raise tombstone_error()
        if body.get("artifact") == "" and not body["domains"]:
            raise tombstone_error()  # such an order has format 1
        doomed = Doomed(
            tuple(DoomedArtifact(**item) for item in body["artifacts"]),
            body["artifact_count"],
            body["version_count"],
            body["ref_count"],
            body["stored_bytes"],
        )
        return ShredOrder(
            body["project"],
            body["reason"],
            body["requester"],
            body["approval_id"],
            tuple(body["approvers"]),
            body["request_id"],
            body["trace_id"],
            body["audit_id"],
            tuple(body["slots"]),
            doomed,
            body.get("artifact", ""),
            tuple(map(parse_id, body.get("domains", ()))),
        )
    except (TypeError, KeyError, ValueError) as error:
        raise tombstone_error() from error


def fit_doomed(artifacts: Sequence[DoomedArtifact], stored_bytes: int) -> Doomed:
    """Name as many artifacts as a tombstone and a receipt have room for."""
    named: list[DoomedArtifact] = []
    size_bytes = 0
    for item in artifacts:
        size_bytes += len(canonical.encode(item.shown())) + 1
        if size_bytes > MAX_NAMED_BYTES:
            break
        named.append(item)
    return Doomed(
        tuple(named),
        len(artifacts),
        sum(item.version_count for item in artifacts),
        sum(len(item.refs) for item in artifacts),
        stored_bytes,
    )


def format_payload(tombstone: Tombstone) -> bytes:
    """Return the bytes that are signed, before DSSE's own encoding."""
    scope = tombstone.scope
    header = HEADER.pack(
        MAGIC,
        ARTIFACT_FORMAT if tombstone.artifact else FORMAT,
        bytes(3),
        scope.store,
        scope.project,
        scope.domain,
        (tombstone.time - _EPOCH) // timedelta(microseconds=1),
    )
    return header + tombstone.artifact + tombstone.sealed_order


def signing_input(payload: bytes) -> bytes:
    """Return what is signed of a payload."""
    return dsse.signing_input(PAYLOAD_TYPE, payload)


def format_tombstone(payload: bytes, signatures: Sequence[Signature]) -> bytes:
    """Return the stored bytes of a tombstone."""
    return dsse.format_envelope(PAYLOAD_TYPE, payload, signatures)


def verify_tombstone(
    data: bytes, key: str, store: bytes, keys: Mapping[str, PublicKey]
) -> Tombstone:
    """Return the tombstone at a key, once form, place and signatures are checked.

    Raises:
        IntegrityError: It is malformed, of another store or place, or not signed
            (RECORD_CORRUPT, SIGNATURE_INVALID).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        payload, signed = dsse.parse_envelope(
            data, PAYLOAD_TYPE, max_bytes=MAX_TOMBSTONE_BYTES
        )
        magic, version, zero, *ids, time_us = HEADER.unpack_from(payload)
    except (ValueError, struct.error) as error:
        raise tombstone_error() from error
    if magic != MAGIC or zero != bytes(3):
        raise tombstone_error()
    if version not in {FORMAT, ARTIFACT_FORMAT}:
        raise PreconditionError(
            f"a tombstone has format {version}; this release reads {ARTIFACT_FORMAT}",
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade the server.",
            format=version,
        )
    signatures = [
        Signature(key_id, keys[key_id].algorithm, value)
        for key_id, value in signed
        if key_id in keys
    ]
    if len(signatures) != len(signed):
        raise tombstone_error()
    verify_signatures(
        signing_input(payload), signatures, keys, required=frozenset(SignatureAlgorithm)
    )
    store_id, project, domain = ids
    size = ID_BYTES if version == ARTIFACT_FORMAT else 0
    order = payload[HEADER.size :]
    artifact, order = order[:size], order[size:]
    try:
        time = _EPOCH + timedelta(microseconds=time_us)
    except OverflowError as error:
        raise tombstone_error() from error
    found = Tombstone(Scope(store_id, project, domain, 0), time, order, artifact)
    # One of an artifact, put where a project's lies, must not kill the project.
    is_in_place = key[: key.rfind("/") + 1] == found.prefix
    if store_id != store or len(artifact) != size or not is_in_place:
        raise tombstone_error()
    return found


def tombstone_error() -> IntegrityError:
    """Return the error for a tombstone that is damaged or in the wrong place."""
    return IntegrityError(
        "a tombstone is damaged or out of place",
        reason=Reason.RECORD_CORRUPT,
        hint="Somebody else writes to the bucket; see `strongroom doctor`.",
    )


def shredded(tombstone: Tombstone) -> PreconditionError:
    """Return the error for whatever would need the keys of a dead domain."""
    project = format_id(tombstone.scope.project)
    what = "artifact" if tombstone.artifact else "project"
    return PreconditionError(
        f"the {what} was shredded on {tombstone.time:%Y-%m-%d at %H:%M:%S} UTC: its "
        "key is destroyed, and nothing of it can be read or stored again",
        reason=Reason.KEY_SHREDDED,
        hint="`strongroom shred NAME --receipt` shows who had it done, and why.",
        project_id=project,
        time=tombstone.time.isoformat(timespec="seconds"),
    )

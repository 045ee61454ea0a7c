# SPDX-License-Identifier: Apache-2.0
"""What a request that is to be approved would do: a server's word, told beside it."""

from collections.abc import Callable
from typing import Final

from google.protobuf.message import Message

from strongroom import _convert
from strongroom.cli.output import format_time, short_digest
from strongroom.cli.shredding import told_preview
from strongroom.client import Client
from strongroom.errors import StrongroomError
from strongroom.format.names import (
    parse_artifact_name,
    parse_project_name,
    parse_ref_name,
)
from strongroom.values import Approval, ApprovalState

_MAX_NAMED: Final = 20


def _shred(client: Client, request: Message) -> str:
    resource = str(getattr(request, "name", ""))
    if "/artifacts/" in resource:
        name = parse_artifact_name(resource).short
    else:
        name = parse_project_name(resource).project
    preview = client.preview_shred(name)
    names = [item.artifact for item in preview.artifacts[:_MAX_NAMED]]
    more = preview.artifact_count - len(names)
    named = ", ".join(names) + (f" and {more} more" if names and more else "")
    held = f"; {preview.held_count} under a legal hold" if preview.held_count else ""
    return told_preview(preview) + (f"; artifacts: {named}" if named else "") + held


def _move(client: Client, request: Message) -> str:
    name = parse_ref_name(str(getattr(request, "name", "")))
    artifact, to = name.artifact.short, str(getattr(request, "version", ""))
    if all(ref.name != name.ref for ref in client.artifact(artifact).refs):
        return f"{artifact}@{name.ref} is new, and would be version {to}"
    preview = client.preview_rollback(artifact, name.ref, to=to)
    readers = preview.readers
    count = "an unknown number" if readers is None else str(len(readers.readers))
    return (
        f"{artifact}@{name.ref}: version {preview.base.number} -> "
        f"{preview.target.number}, {short_digest(preview.target.digest)}, of "
        f"{format_time(preview.target.create_time)} by {preview.target.creator}; read "
        f"now, as far as the server knows, by {count}"
    )


#: Tells what would be, by the method's full name.
FORESEEN: Final[dict[str, Callable[[Client, Message], str]]] = {
    "/strongroom.v1.ArtifactService/MoveRef": _move,
    "/strongroom.v1.KeyService/ShredArtifact": _shred,
    "/strongroom.v1.KeyService/ShredProject": _shred,
}
_OPEN: Final = frozenset({ApprovalState.PENDING, ApprovalState.APPROVED})


def foreseen(client: Client, approval: Approval) -> str:
    """Return what would happen if a request ran now; "" if there is nothing to tell.

    Nothing of it is signed: it is what the server says, and may have changed by then.
    """
    tell = FORESEEN.get(approval.method)
    if tell is None or approval.state not in _OPEN:
        return ""
    try:
        return tell(client, _convert.request_of(approval.method, approval.request))
    except StrongroomError as error:
        # Who may not look, or cannot now, is not kept from deciding.
        return f"not known: {error.message}"

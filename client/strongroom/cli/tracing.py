# SPDX-License-Identifier: Apache-2.0
"""The tree of one trace, read from the spans files of client and server."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from strongroom.errors import InvalidArgumentError, NotFoundError, Reason

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}\Z")
#: The server writes spans in batches; this long is waited for the last one.
_TRIES: Final = 20
_WAIT_S: Final = 0.15
_SPANS_FILES: Final = "*spans.jsonl*"
_NS_PER_MS: Final = 1_000_000
_SHOWN_ATTRIBUTES: Final = ("strongroom.audit_id", "strongroom.action")


@dataclass(slots=True)
class SpanNode:
    """One span and those below it."""

    span_id: str
    parent_span_id: str
    name: str
    service: str
    start_unix_nano: int
    duration_ms: float
    status: str
    attributes: dict[str, Any]
    children: list["SpanNode"] = field(default_factory=list)


def load_trace(spans_file: Path, trace_id: str) -> list[SpanNode]:
    """Return the roots of a trace, by start; waits for the server's last batch.

    Args:
        spans_file: The client's own; a server's `*spans.jsonl` may lie beside it.
        trace_id: 32 hex digits.

    Raises:
        InvalidArgumentError: The id has another form (ARGUMENT_INVALID).
        NotFoundError: No span of it was recorded there (PATH_NOT_FOUND).
    """
    if not _TRACE_ID.match(trace_id):
        message = f"{trace_id[:100]!r} is not a trace id: 32 lower-case hex digits"
        raise InvalidArgumentError(message, hint="strongroom log, push --json")
    roots: list[SpanNode] = []
    folder = spans_file.parent
    is_alone = set(folder.glob(_SPANS_FILES)) <= {spans_file}
    for _ in range(1 if is_alone else _TRIES):
        roots = _tree(_read_spans(folder, trace_id))
        if roots and all(_is_answered(root) for root in roots):
            break
        threading.Event().wait(_WAIT_S)
    if not roots:
        message = f"no span of the trace {trace_id} is in {folder}"
        raise NotFoundError(
            message,
            reason=Reason.PATH_NOT_FOUND,
            hint="Only commands record spans, if client.toml names a spans_file.",
            trace_id=trace_id,
        )
    return roots


def format_trace(roots: list[SpanNode]) -> Iterator[str]:
    """Yield the tree, one span a line: duration, service, name, audit id."""
    stack = [(root, 0) for root in reversed(roots)]
    while stack:
        node, depth = stack.pop()
        notes = [
            f"{key.removeprefix('strongroom.').removesuffix('_id')} {value}"
            for key in _SHOWN_ATTRIBUTES
            if (value := node.attributes.get(key))
        ]
        if node.status == "ERROR":
            notes.append("failed")
        service = node.service.removeprefix("strongroom-")
        name = f"{'  ' * depth}{node.name}"
        said = f"  [{', '.join(notes)}]" if notes else ""
        yield f"{node.duration_ms:10.1f} ms  {service:<8}  {name}{said}"
        stack += [(child, depth + 1) for child in reversed(node.children)]


def _is_answered(node: SpanNode) -> bool:
    """Tell whether each call of the client has the server's span below it."""
    is_call = node.service.endswith("client") and "rpc.method" in node.attributes
    if is_call and node.status != "ERROR" and not node.children:
        return False
    return all(_is_answered(child) for child in node.children)


def _read_spans(folder: Path, trace_id: str) -> Iterator[SpanNode]:
    for path in sorted(folder.glob(_SPANS_FILES)):
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                # A cheap look first: files hold many traces.
                if trace_id in line and (node := _parse(line, trace_id)):
                    yield node


def _parse(line: str, trace_id: str) -> SpanNode | None:
    try:
        span = json.loads(line)
    except ValueError:
        return None  # a line that is still being written
    if span.get("trace_id") != trace_id:
        return None
    start = int(span["start_unix_nano"])
    return SpanNode(
        span_id=span["span_id"],
        parent_span_id=span["parent_span_id"],
        name=span["name"],
        service=span["resource"].get("service.name", ""),
        start_unix_nano=start,
        duration_ms=(int(span["end_unix_nano"]) - start) / _NS_PER_MS,
        status=span["status"],
        attributes=span["attributes"],
    )


def _tree(spans: Iterator[SpanNode]) -> list[SpanNode]:
    nodes = {node.span_id: node for node in spans}
    roots: list[SpanNode] = []
    for node in sorted(nodes.values(), key=lambda item: item.start_unix_nano):
        parent = nodes.get(node.parent_span_id)
        (parent.children if parent else roots).append(node)
    return roots

# SPDX-License-Identifier: Apache-2.0
"""Selectors: which version of a history a number, ref, digest or time names."""

from collections.abc import Sequence

from strongroom.errors import InvalidArgumentError, NotFoundError, Reason
from strongroom.format import names
from strongroom.format.names import RefName
from strongroom_server.core.history import Committed, History


def resolve(history: History, selector_text: str) -> Committed:
    """Return the version that a selector names.

    Raises:
        NotFoundError: There is none (VERSION_NOT_FOUND, REF_NOT_FOUND).
        InvalidArgumentError: A digest prefix fits several versions, or the
            selector does not parse.
    """
    selector = names.parse_selector(selector_text)
    match selector:
        case names.NumberSelector(number):
            if not 1 <= number <= history.latest:
                raise _no_version(history, selector_text)
            return history.versions[number - 1]
        case names.RefSelector(ref, back):
            return _resolve_ref(history, ref, back)
        case names.DigestSelector(prefix):
            return _resolve_digest(history, prefix)
        case names.TimeSelector(time):
            older = [item for item in history.versions if item.info.time <= time]
            if not older:
                raise _no_version(history, selector_text)
            return older[-1]


def _resolve_ref(history: History, ref: str, back: int) -> Committed:
    if ref == names.LATEST:
        targets: Sequence[int] = range(1, history.latest + 1)
    else:
        targets = history.ref_versions(ref)
    if not targets and ref != names.LATEST:
        # Which refs there are is told to those who may list them, not here.
        name = RefName(history.created.name, ref)
        raise NotFoundError(
            f"artifact {name.artifact.short} has no ref {ref!r}",
            reason=Reason.REF_NOT_FOUND,
            hint=f"See `strongroom ref ls {name.artifact.short}`.",
            artifact=name.artifact.short,
            ref=ref,
        )
    if back >= len(targets):
        raise _no_version(history, f"{ref}~{back}" if back else ref)
    return history.versions[targets[-1 - back] - 1]


def _resolve_digest(history: History, prefix: str) -> Committed:
    found = [
        item
        for item in history.versions
        if item.digest.removeprefix("sha256:").startswith(prefix)
    ]
    if not found:
        raise _no_version(history, f"sha256:{prefix}")
    if len({item.digest for item in found}) > 1:
        raise InvalidArgumentError(
            f"digest prefix {prefix} fits {len(found)} versions",
            reason=Reason.NAME_MALFORMED,
            hint="Give more digits.",
            prefix=prefix,
        )
    return found[-1]


def _no_version(history: History, selector: str) -> NotFoundError:
    name = history.created.name.short
    newest = f"the newest is {history.latest}" if history.latest else "it has none"
    return NotFoundError(
        f"artifact {name} has no version {selector}; {newest}",
        reason=Reason.VERSION_NOT_FOUND,
        hint=f"See `strongroom log {name}`.",
        artifact=name,
        version=selector,
    )

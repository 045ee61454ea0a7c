# SPDX-License-Identifier: Apache-2.0
"""Revocations: who is nobody from now on, whatever certificate is shown.

A text file with one revocation a line: a SPIFFE id, in which `*` stands for any one
segment, a person as `operator:NAME`, in small letters or not, or `sha256:` and the
digest of a certificate's DER bytes. Empty lines and what follows `#` say nothing.
"""

import re
from dataclasses import dataclass
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.core.operators import NAME, PREFIX, is_operator

MAX_BYTES: Final = 4 * 1024 * 1024

_PRINCIPAL: Final = re.compile(
    r"spiffe://[a-z0-9._-]{1,255}(?:/(?:[A-Za-z0-9._-]+|\*))+\Z"
    rf"|{PREFIX}{NAME}\Z"
)
_CERTIFICATE: Final = re.compile(r"sha256:[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Revocations:
    """What a file of revocations says.

    Attributes:
        principals: SPIFFE ids without `*`, and people, in small letters.
        patterns: SPIFFE ids with `*`, by their segments.
        certificates: Digests, as `sha256:…`.
    """

    principals: frozenset[str] = frozenset()
    patterns: tuple[tuple[str, ...], ...] = ()
    certificates: frozenset[str] = frozenset()

    def name(self, principal: str, certificate_digest: str) -> bool:
        """Tell whether a principal, or the certificate that it shows, is revoked."""
        if _plain(principal) in self.principals:
            return True
        if certificate_digest in self.certificates:
            return True
        if not self.patterns:
            return False
        given = principal.split("/")
        return any(_matches(pattern, given) for pattern in self.patterns)


def parse_revocations(text: str) -> Revocations:
    """Read a file of revocations.

    Raises:
        InvalidArgumentError: A line is neither a SPIFFE id nor a digest
            (SETTING_INVALID). So a typing error revokes nobody silently.
    """
    principals, patterns, certificates = [], [], []
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        if _CERTIFICATE.match(entry):
            certificates.append(entry)
        elif not _PRINCIPAL.match(entry):
            message = f"line {number} of the revocations names no principal or digest"
            raise InvalidArgumentError(
                message,
                reason=Reason.SETTING_INVALID,
                hint="Write spiffe://…, operator:…, or sha256: and 64 hex digits.",
                line=number,
            )
        elif "*" in entry:
            patterns.append(tuple(entry.split("/")))
        else:
            principals.append(_plain(entry))
    return Revocations(frozenset(principals), tuple(patterns), frozenset(certificates))


def _plain(principal: str) -> str:
    """Return what a principal is looked for by: providers spell people either way."""
    return principal.casefold() if is_operator(principal) else principal


def _matches(pattern: tuple[str, ...], given: list[str]) -> bool:
    return len(pattern) == len(given) and all(
        want in {"*", have} for want, have in zip(pattern, given, strict=True)
    )

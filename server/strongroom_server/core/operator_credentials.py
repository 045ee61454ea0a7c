# SPDX-License-Identifier: Apache-2.0
"""Whose security keys are believed: a file that people review, as assignments are.

A person may have several keys; a key belongs to one person. Public keys are no
secrets, but whoever can write the file can approve: it is kept as policies are.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.core.approvals import MAX_CREDENTIAL_ID_BYTES

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_CREDENTIALS: Final = 1000
_MAX_PUBLIC_KEY_BYTES: Final = 4096
_OPERATOR: Final = re.compile(r"operator:[A-Za-z0-9][A-Za-z0-9._@-]{0,127}\Z")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_KEYS: Final = frozenset({"name", "operator", "credential_id", "public_key"})


@dataclass(frozen=True, slots=True)
class OperatorCredential:
    """One security key of one person.

    Attributes:
        name: What the file calls it: `bob-desk`.
        operator: The principal: `operator:bob`.
        credential_id: As the key names it.
        public_key: COSE_Key, CBOR.
    """

    name: str
    operator: str
    credential_id: bytes
    public_key: bytes


def credential_name(credential_id: bytes) -> str:
    """Return a credential's id as text: base64url without padding."""
    return base64.urlsafe_b64encode(credential_id).rstrip(b"=").decode()


def parse_credentials(
    document: Mapping[str, object],
) -> Mapping[str, OperatorCredential]:
    """Read a decoded file of credentials.

    Args:
        document: `credentials`, a list of tables with `name`, `operator`,
            `credential_id` and `public_key`, both in base64url.

    Returns:
        The credentials by `credential_name`.

    Raises:
        InvalidArgumentError: A key is unknown or malformed, a name, a credential or a
            public key occurs twice, or a person under two spellings
            (SETTING_INVALID).
    """
    _check_keys(document, frozenset({"credentials"}), "the file")
    items = document.get("credentials", [])
    if not isinstance(items, Sequence) or isinstance(items, str):
        message = "credentials is not a list of tables"
        raise _invalid(message)
    if len(items) > MAX_CREDENTIALS:
        message = f"it has {len(items)} credentials, over {MAX_CREDENTIALS}"
        raise _invalid(message)
    found: dict[str, OperatorCredential] = {}
    names: set[str] = set()
    publics: set[bytes] = set()
    spellings: dict[str, str] = {}
    for number, item in enumerate(items, start=1):
        credential = _parse(number, item)
        key = credential_name(credential.credential_id)
        if key in found or credential.name in names:
            message = f"the credential {credential.name} is there twice"
            raise _invalid(message)
        # One security key under two names would be two people with one finger.
        if credential.public_key in publics:
            message = f"the public key of {credential.name} is there twice"
            raise _invalid(message)
        person = credential.operator
        spelling = spellings.setdefault(person.casefold(), person)
        if spelling != person:
            message = f"{spelling} and {person} differ only in small and large letters"
            raise _invalid(message)
        found[key] = credential
        names.add(credential.name)
        publics.add(credential.public_key)
    return found


def of_operator(
    credentials: Iterable[OperatorCredential], operator: str
) -> tuple[OperatorCredential, ...]:
    """Return the credentials of one person."""
    return tuple(item for item in credentials if item.operator == operator)


def _parse(number: int, item: object) -> OperatorCredential:
    if not isinstance(item, Mapping):
        message = f"credential {number} is not a table"
        raise _invalid(message)
    _check_keys(item, _KEYS, f"credential {number}")
    name, operator = item.get("name"), item.get("operator")
    if not isinstance(name, str) or not _NAME.match(name):
        message = f"credential {number} has the malformed name {name!r}"
        raise _invalid(message)
    if not isinstance(operator, str) or not _OPERATOR.match(operator):
        message = f"{name} has the malformed operator {operator!r}"
        raise _invalid(message)
    credential_id = _bytes(item.get("credential_id"), f"credential_id of {name}")
    public_key = _bytes(item.get("public_key"), f"public_key of {name}")
    if len(credential_id) > MAX_CREDENTIAL_ID_BYTES:
        message = f"credential_id of {name} is too long"
        raise _invalid(message)
    if len(public_key) > _MAX_PUBLIC_KEY_BYTES:
        message = f"public_key of {name} is too long"
        raise _invalid(message)
    return OperatorCredential(name, operator, credential_id, public_key)


def _bytes(value: object, what: str) -> bytes:
    if isinstance(value, str) and value and "=" not in value:
        try:
            data = base64.b64decode(
                value + "=" * (-len(value) % 4), altchars=b"-_", validate=True
            )
        except (binascii.Error, ValueError):
            data = b""
        # One spelling of each: two lines cannot hide that they are the same key.
        if data and credential_name(data) == value:
            return data
    message = f"{what} is not base64url without padding"
    raise _invalid(message)


def _check_keys(table: Mapping[str, object], known: frozenset[str], what: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        message = f"{what} has the unknown key {unknown[0]!r}"
        raise _invalid(message)


def _invalid(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"operators' credentials: {message}",
        reason=Reason.SETTING_INVALID,
        hint="Mend the file named by operators.credentials_file; see "
        "`strongroom approvals enroll`.",
    )

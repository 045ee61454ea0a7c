# SPDX-License-Identifier: Apache-2.0
"""What each of our identities may do in Vault: the policies, as HCL.

`deploy/vault/*.hcl` are these texts with the default names; a test compares them.
A mount that holds KEKs belongs to one Strongroom alone: `transit/keys/+` below
covers every key of the mount, because the narrower `transit/keys/sr.*` would also
cover `transit/keys/sr.x/config`, `/rotate` and `/trim` (a trailing glob crosses
slashes, and wins over `transit/keys/+/config`; tried on OpenBao 2.7.2).
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_server.core.scope import CONTEXT_LABEL, STORE_PROJECT, parse_id

#: What the names of all our keys in Vault begin with.
KEY_PREFIX: Final = "sr."
#: The KEK of what belongs to the store as a whole.
STORE_KEK: Final = "sr.store"
#: The keys that sign journal entries: ECDSA P-384 and ML-DSA-65.
SIGNING_KEYS: Final = ("sr.sign.version", "sr.sign.version.pq")
#: The keys that sign the audit log's checkpoints: Ed25519 and ML-DSA-44.
LOG_KEYS: Final = ("sr.log", "sr.log.pq")

_MOUNT = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")
# A group's name may have capitals and blanks; nothing that ends a quoted text.
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}")
#: No key may be destroyed by fewer.
_MIN_APPROVALS: Final = 2

# The whole list of what may be said when a KEK is made; each with its only values.
# A parameter that is not here is refused, in any letter case, so no key can be
# made exportable, or backed up in plaintext, or deletable.
_KEK_PARAMETERS: Final[Mapping[str, str]] = {
    "type": '["aes256-gcm96"]',
    "derived": "[true]",
    "convergent_encryption": "[false]",
    "exportable": "[false]",
    "allow_plaintext_backup": "[false]",
    "auto_rotate_period": '["720h"]',
}
# One hash and one form of signatures: what verifiers accept, and nothing else.
_SIGNING_PARAMETERS: Final[Mapping[str, Mapping[str, str]]] = {
    SIGNING_KEYS[0]: {
        "input": "[]",
        "hash_algorithm": '["sha2-384"]',
        "marshaling_algorithm": '["asn1"]',
    },
    SIGNING_KEYS[1]: {"input": "[]"},
    LOG_KEYS[0]: {"input": "[]"},
    LOG_KEYS[1]: {"input": "[]"},
}
# What a key admin may change of a key. `exportable`, `allow_plaintext_backup` and
# `deletion_allowed` are not here, and so are refused.
_CONFIG_PARAMETERS: Final[Mapping[str, str]] = {
    "min_decryption_version": "[]",
    "min_encryption_version": "[]",
    "auto_rotate_period": "[]",
}


@dataclass(frozen=True, slots=True)
class Names:
    """The names that a policy speaks of.

    Attributes:
        mount: The transit engine that holds our keys and no others.
        pki_mount: The PKI engine that issues certificates.
        pki_role: The role of that engine for the server's certificate.
        client_pki_role: The role for certificates of clients.
        approvers: The identity group that must approve that a key is destroyed.
        approvals: How many of them must.
        control_group: Whether Vault asks them; if not, the approvals of Strongroom
            are all that stands before a key.
        projects: The ids of the projects whose keys a server may use; all if empty.
    """

    mount: str = "transit"
    pki_mount: str = "pki"
    pki_role: str = "strongroom-server"
    client_pki_role: str = "strongroom-client"
    approvers: str = "strongroom-key-owners"
    approvals: int = _MIN_APPROVALS
    control_group: bool = True
    projects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.mount, self.pki_mount, self.pki_role, self.client_pki_role):
            if _MOUNT.fullmatch(name) is None:
                raise ValueError(f"{name!r} is not a name of a Vault mount or role")
        if _GROUP.fullmatch(self.approvers) is None:
            raise ValueError(f"{self.approvers!r} is not a name of a group")
        if self.approvals < _MIN_APPROVALS:
            raise ValueError(f"{self.approvals} is too few; two persons must approve")
        for project in self.projects:
            parse_id(project)


DEFAULT_NAMES: Final = Names()


def server_policy(names: Names = DEFAULT_NAMES) -> str:
    """Write the policy of the Strongroom server."""
    mount = names.mount
    fixed = (STORE_KEK, *SIGNING_KEYS, *LOG_KEYS)
    return _document(
        "The Strongroom server: make KEKs, use them, sign, get its own certificate.",
        _section(
            "A new KEK. What may be said is listed; all else is refused.",
            _rule(
                f"{mount}/keys/+", "create", "update", "read", allowed=_KEK_PARAMETERS
            ),
        ),
        *(_use_of_keys(mount, place) for place in _places(names.projects)),
        _section(
            "The keys that an operator makes: read their public part or version, no"
            " more.",
            *(_rule(f"{mount}/keys/{key}", "read") for key in fixed),
        ),
        _section(
            "Sign journal entries, with both algorithms.",
            *(
                _rule(
                    f"{mount}/sign/{key}",
                    "update",
                    allowed=allowed,
                    required=("input",),
                )
                for key, allowed in _SIGNING_PARAMETERS.items()
            ),
        ),
        _section(
            "A certificate for the server itself.",
            _rule(f"{names.pki_mount}/issue/{names.pki_role}", "update"),
        ),
        _own_token(),
    )


def key_admin_policy(names: Names = DEFAULT_NAMES) -> str:
    """Write the policy of whoever rotates keys, retires versions and pauses keys."""
    mount = names.mount
    return _document(
        "Whoever looks after the keys: rotate them, retire old versions, pause a key\n"
        "and let it go on. May neither use a key, nor take one out of Vault, nor\n"
        "destroy one.",
        _section(
            "",
            _rule(f"{mount}/keys", "list"),
            _rule(f"{mount}/keys/+", "read"),
            _rule(f"{mount}/keys/+/rotate", "update"),
            _rule(f"{mount}/keys/+/config", "update", allowed=_CONFIG_PARAMETERS),
        ),
        _section(
            "A paused key opens nothing until it is restored (OpenBao).",
            _rule(f"{mount}/keys/+/soft-delete", "delete"),
            _rule(f"{mount}/keys/+/soft-delete-restore", "update"),
        ),
        _own_token(),
    )


def key_destroyer_policy(names: Names = DEFAULT_NAMES) -> str:
    """Write the policy of the server's credential that destroys projects' keys.

    Vault itself holds each request back until others have approved it (a control
    group: OpenBao 2.7, or Vault Enterprise), unless `names` says otherwise.
    """
    mount = names.mount
    allow = {"deletion_allowed": "[true, false]"}
    fixed = (STORE_KEK, *SIGNING_KEYS, *LOG_KEYS)
    caption = (
        "Whoever destroys keys, and with them all that they protect. Vault holds each\n"
        f"request back until {names.approvals} others have approved it, by a control\n"
        "group. Not for a Vault that does not enforce those, such as HashiCorp's\n"
        "community edition: there one person alone could delete a key."
    )
    if not names.control_group:
        caption = (
            "Whoever destroys keys, and with them all that they protect. Vault asks\n"
            "nobody else: whoever holds this credential can delete a key alone, and\n"
            "the approvals of Strongroom are all that stands before it."
        )
    return _document(
        caption,
        _section(
            "",
            _rule(
                f"{mount}/keys/+/config",
                "update",
                allowed=allow,
                group=_control_group(names, "update"),
            ),
            _rule(
                f"{mount}/keys/+",
                "read",
                "delete",
                group=_control_group(names, "delete"),
            ),
        ),
        _section(
            "Never the store's own keys: without them nothing of it opens or verifies.",
            *(_rule(f"{mount}/keys/{key}", "deny") for key in fixed),
            *(_rule(f"{mount}/keys/{key}/config", "deny") for key in fixed),
        ),
        _section(
            "Carry out what was held back.",
            _rule("sys/wrapping/unwrap", "update"),
        )
        if names.control_group
        else "",
        _own_token(),
    )


def key_approver_policy(_names: Names = DEFAULT_NAMES) -> str:
    """Write the policy of whoever approves such requests."""
    return _document(
        "Whoever approves that a key is destroyed: look at a request, approve it.\n"
        "Must be in the group that the request needs, and not be the one who asks.",
        _section(
            "",
            _rule("sys/control-group/request", "update"),
            _rule("sys/control-group/authorize", "update"),
        ),
    )


def client_issuer_policy(names: Names = DEFAULT_NAMES) -> str:
    """Write the policy of whoever hands out client certificates."""
    return _document(
        "Whoever hands out client certificates (the development stack, a job\n"
        "controller): one role, and nothing else.",
        _section(
            "", _rule(f"{names.pki_mount}/issue/{names.client_pki_role}", "update")
        ),
    )


def snapshot_policy(_names: Names = DEFAULT_NAMES) -> str:
    """Write the policy of whoever takes snapshots of Vault's storage."""
    return _document(
        "Whoever takes snapshots of Vault's storage (a job, every night and behind\n"
        "each backup): all of it, as Vault encrypts it; without the unseal keys it\n"
        "is noise. May not put one back.",
        _section("", _rule("sys/storage/raft/snapshot", "read")),
        _own_token(),
    )


def provisioner_policy() -> str:
    """Write the policy with which the development stack renews its policies."""
    return _document(
        "The development stack, to apply changed policies: together with the unseal\n"
        "key it makes a root token for a moment. Not for production.",
        _section(
            "",
            _rule("sys/generate-root-token/*", "create", "read", "update", "delete"),
        ),
    )


#: The policies that a site installs, by the name of the role.
ROLES: Final[Mapping[str, Callable[[Names], str]]] = {
    "server": server_policy,
    "key-admin": key_admin_policy,
    "key-destroyer": key_destroyer_policy,
    "key-approver": key_approver_policy,
    "client-issuer": client_issuer_policy,
    "snapshot": snapshot_policy,
}


def context_prefix(project: bytes = b"") -> str:
    """Return what the contexts of a project, or of all, begin with, in base64.

    Its length is a multiple of three bytes, or neighbours would slip through.
    """
    return base64.b64encode(CONTEXT_LABEL + project).decode()


@dataclass(frozen=True, slots=True)
class _Place:
    """Keys that may be used, and the contexts that they may be used in."""

    keys: str
    prefix: str


def _places(projects: Sequence[str]) -> list[_Place]:
    if not projects:
        return [_Place(f"{KEY_PREFIX}*", context_prefix())]
    return [
        _Place(STORE_KEK, context_prefix(STORE_PROJECT)),
        *(
            _Place(f"{KEY_PREFIX}{project}.*", context_prefix(parse_id(project)))
            for project in projects
        ),
    ]


def _use_of_keys(mount: str, place: _Place) -> str:
    context = {"context": f'["{place.prefix}*"]'}
    wrapped = {"ciphertext": '["vault:v*"]', **context}
    return _section(
        "Wrap, unwrap and re-wrap domain keys, each bound to its place by a context\n"
        "of ours. Only re-wrapping, which shows no key, takes several at once.",
        _rule(
            f"{mount}/datakey/plaintext/{place.keys}",
            "update",
            allowed={"bits": "[]", **context},
            required=("context",),
        ),
        _rule(
            f"{mount}/decrypt/{place.keys}",
            "update",
            allowed=wrapped,
            required=("ciphertext", "context"),
        ),
        _rule(
            f"{mount}/rewrap/{place.keys}",
            "update",
            allowed={**wrapped, "batch_input": "[]"},
        ),
    )


def _own_token() -> str:
    return _section(
        "Keep its own token alive.",
        _rule("auth/token/lookup-self", "read"),
        _rule("auth/token/renew-self", "update"),
    )


def _control_group(names: Names, capability: str) -> str:
    if not names.control_group:
        return ""
    return f"""\
  control_group = {{
    ttl = "1h"
    factor "owners" {{
      controlled_capabilities = ["{capability}"]
      identity {{
        group_names = ["{names.approvers}"]
        approvals   = {names.approvals}
      }}
    }}
  }}
"""


def _document(caption: str, *sections: str) -> str:
    return "\n".join([_comment(caption), *filter(None, sections)])


def _section(comment: str, *rules: str) -> str:
    return _comment(comment) + "\n".join(rules)


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())


def _rule(
    path: str,
    *capabilities: str,
    allowed: Mapping[str, str] | None = None,
    required: Sequence[str] = (),
    group: str = "",
) -> str:
    lines = [f'path "{path}" {{\n', f"  capabilities = [{_quoted(capabilities)}]\n"]
    if required:
        lines.append(f"  required_parameters = [{_quoted(required)}]\n")
    if allowed:
        width = max(map(len, allowed)) + 2
        lines.append("  allowed_parameters = {\n")
        for name, values in allowed.items():
            quoted = f'"{name}"'
            lines.append(f"    {quoted:<{width}} = {values}\n")
        lines.append("  }\n")
    return "".join([*lines, group, "}\n"])


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)

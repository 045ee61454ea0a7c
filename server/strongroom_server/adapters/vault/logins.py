# SPDX-License-Identifier: Apache-2.0
"""How the server proves to Vault who it is: five methods, one shape.

Each method reads its files anew at every login, so that whoever renews them (the
kubelet, an agent, a person) need not tell the server.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from strongroom.errors import PreconditionError
from strongroom_server.adapters.vault.failures import (
    access_denied,
    setting_invalid,
    unavailable,
)

#: A token, a JWT or a secret id; a file that is longer is the wrong file.
_MAX_SECRET_BYTES: Final = 16384


@dataclass(frozen=True, slots=True)
class Grant:
    """What a login gave.

    Attributes:
        token: The token.
        ttl_s: Its life; infinite if it never ends.
        renewable: Whether Vault may prolong it.
    """

    token: str = field(repr=False)
    ttl_s: float
    renewable: bool


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """The one request of a login. Its body and token are secrets.

    Attributes:
        method: GET or POST.
        mount: Below `/v1/`.
        operation: Below the mount.
        body: What to send, as JSON.
        token: With which token.
        certificate: The files of the client certificate to show, and of its key.
    """

    method: str
    mount: str
    operation: str
    body: dict[str, object] | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    certificate: tuple[str, str] | None = None


class VaultLogin(Protocol):
    """One way to log in."""

    #: Whether a token of this method is worth renewing; else it is replaced.
    prolongs: ClassVar[bool]

    def request(self) -> LoginRequest:
        """Read the files and make the request.

        Raises:
            PreconditionError: A file cannot be read (SETTING_INVALID).
        """
        ...

    def grant(self, answer: Mapping[str, Any]) -> Grant:
        """Return what Vault's answer gives.

        Raises:
            PreconditionError: A token that no server should have (SETTING_INVALID).
            UnavailableError: The answer cannot be understood.
        """
        ...

    def refused(self) -> PreconditionError:
        """Make the error for a login that Vault refuses (KEK_ACCESS_DENIED)."""
        ...


@dataclass(frozen=True, slots=True)
class AppRoleLogin:
    """A role id and a secret id, for servers that nothing else vouches for."""

    role_id_file: Path
    secret_id_file: Path
    mount: str = "approle"
    prolongs: ClassVar[bool] = True

    def request(self) -> LoginRequest:
        """Read both ids."""
        body: dict[str, object] = {
            "role_id": read_secret(self.role_id_file),
            "secret_id": read_secret(self.secret_id_file),
        }
        return LoginRequest("POST", f"auth/{self.mount}", "login", body)

    def grant(self, answer: Mapping[str, Any]) -> Grant:
        """Return the token of the answer."""
        return granted(answer)

    def refused(self) -> PreconditionError:
        """Name what may be wrong with the ids."""
        return access_denied(
            "Vault refused the server's role id or secret id",
            hint=f"Make a new secret id and write it to {self.secret_id_file}; it is"
            " read at the next login. See whether the role bounds it to addresses.",
        )


@dataclass(frozen=True, slots=True)
class JwtLogin:
    """A JWT that somebody else signs: a platform, or a cluster for its pods.

    Vault checks the signature by itself; a token that the issuer has revoked works
    until it ends.
    """

    role: str
    jwt_file: Path
    mount: str = "jwt"
    prolongs: ClassVar[bool] = True

    def request(self) -> LoginRequest:
        """Read the JWT."""
        body: dict[str, object] = {
            "role": self.role,
            "jwt": read_secret(self.jwt_file),
        }
        return LoginRequest("POST", f"auth/{self.mount}", "login", body)

    def grant(self, answer: Mapping[str, Any]) -> Grant:
        """Return the token of the answer."""
        return granted(answer)

    def refused(self) -> PreconditionError:
        """Name what may be wrong with the JWT."""
        return access_denied(
            f"Vault refused the server's JWT for the role {self.role!r}",
            hint=f"See whether the token in {self.jwt_file} has ended, whether its"
            " audience and subject are those of the role, and whether Vault's clock"
            " agrees with its issuer's.",
        )


@dataclass(frozen=True, slots=True)
class KubernetesLogin(JwtLogin):
    """A pod's service account token, which Vault asks the cluster about."""

    mount: str = "kubernetes"

    def refused(self) -> PreconditionError:
        """Name what may be wrong with the token, the role or the cluster."""
        return access_denied(
            "Vault refused the server's service account token for the role"
            f" {self.role!r}",
            hint=f"See whether the token in {self.jwt_file} has ended, whether the"
            " role names the pod's service account and namespace, and whether Vault"
            " reaches the cluster's API: it does not say which.",
        )


@dataclass(frozen=True, slots=True)
class CertLogin:
    """A client certificate, such as an X.509-SVID.

    Vault renews such a token for the very certificate that it was given for, which
    a short-lived one has replaced by then: the server logs in again instead.
    """

    cert_file: Path
    key_file: Path
    role: str = ""
    mount: str = "cert"
    prolongs: ClassVar[bool] = False

    def request(self) -> LoginRequest:
        """Check that certificate and key can be used together."""
        files = (str(self.cert_file), str(self.key_file))
        try:
            # Without a password of ours OpenSSL would ask the terminal for one.
            ssl.create_default_context().load_cert_chain(*files, password="")
        except (OSError, ValueError) as error:
            message = f"the certificate {files[0]!r} cannot be used with its key"
            raise setting_invalid(message) from error
        body: dict[str, object] = {"name": self.role} if self.role else {}
        return LoginRequest(
            "POST", f"auth/{self.mount}", "login", body, certificate=files
        )

    def grant(self, answer: Mapping[str, Any]) -> Grant:
        """Return the token of the answer."""
        return granted(answer)

    def refused(self) -> PreconditionError:
        """Name what may be wrong with the certificate."""
        return access_denied(
            "Vault refused the server's client certificate",
            hint=f"See whether the certificate in {self.cert_file} has ended, whether"
            " a role of the method trusts its authority and names its URI, and"
            " whether something between server and Vault ends TLS.",
        )


@dataclass(frozen=True, slots=True)
class TokenFileLogin:
    """A token that somebody else gets, such as `bao agent` with a file sink."""

    token_file: Path
    prolongs: ClassVar[bool] = True

    def request(self) -> LoginRequest:
        """Read the token; the request asks Vault about it."""
        token = read_secret(self.token_file)
        return LoginRequest("GET", "auth/token", "lookup-self", token=token)

    def grant(self, answer: Mapping[str, Any]) -> Grant:
        """Return the token, with what is left of its life."""
        data = answer.get("data") or {}
        token, ttl_s, policies = data.get("id"), data.get("ttl"), data.get("policies")
        if not isinstance(token, str) or not token or not isinstance(ttl_s, int):
            raise unavailable("Vault's answer to the login cannot be understood")
        if isinstance(policies, list) and "root" in policies:
            message = f"{self.token_file} holds a root token, which may do everything"
            raise setting_invalid(message)
        ends = data.get("expire_time") is not None
        return Grant(
            token=token,
            # A token may have less than a second left.
            ttl_s=float(max(ttl_s, 1)) if ends else float("inf"),
            renewable=bool(data.get("renewable")),
        )

    def refused(self) -> PreconditionError:
        """Name what may be wrong with the token."""
        return access_denied(
            "Vault refused the server's token",
            hint=f"Write a new token to {self.token_file}, or see why the agent that"
            " writes it does not; its policy must allow `auth/token/lookup-self`.",
        )


def make_login(
    method: str, *, mount: str, role: str, files: Mapping[str, Path]
) -> VaultLogin:
    """Return the login of settings that have been checked.

    Args:
        method: `approle`, `jwt`, `kubernetes`, `cert` or `token`.
        mount: Where the method is mounted, below `auth/`; its own name if "".
        role: The role to log in as.
        files: By the name of the setting.
    """
    path = mount or method
    match method:
        case "approle":
            return AppRoleLogin(files["role_id_file"], files["secret_id_file"], path)
        case "jwt":
            return JwtLogin(role, files["jwt_file"], path)
        case "kubernetes":
            return KubernetesLogin(role, files["jwt_file"], path)
        case "cert":
            return CertLogin(files["cert_file"], files["key_file"], role, path)
        case "token":
            return TokenFileLogin(files["token_file"])
        case _:
            message = f"{method!r} is no way to log in to Vault"
            raise setting_invalid(message)


def read_secret(path: Path) -> str:
    """Return the one line of a file that holds a secret.

    Raises:
        PreconditionError: It cannot be read, is empty, or is too long to be one
            (SETTING_INVALID).
    """
    try:
        with path.open(encoding="ascii") as file:
            text = file.read(_MAX_SECRET_BYTES + 1).strip()
    except (OSError, ValueError) as error:
        message = f"the file {str(path)!r} cannot be read"
        raise setting_invalid(message) from error
    if not text:
        message = f"the file {str(path)!r} is empty"
        raise setting_invalid(message)
    if len(text) > _MAX_SECRET_BYTES or any(letter.isspace() for letter in text):
        message = f"the file {str(path)!r} holds something else than one secret"
        raise setting_invalid(message)
    return text


def granted(answer: Mapping[str, Any]) -> Grant:
    """Return the token of an answer that has one: a login's or a renewal's.

    Raises:
        UnavailableError: It cannot be understood.
    """
    auth = answer.get("auth") or {}
    token, ttl_s = auth.get("client_token"), auth.get("lease_duration")
    if not isinstance(token, str) or not token or not isinstance(ttl_s, int):
        raise unavailable("Vault's answer to the login cannot be understood")
    # A lease of 0 is one that never ends.
    life_s = float(ttl_s) if ttl_s > 0 else float("inf")
    return Grant(token, life_s, bool(auth.get("renewable")))

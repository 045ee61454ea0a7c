# SPDX-License-Identifier: Apache-2.0
"""OpenBao as the stack's OpenID Connect provider: people, second factor, client.

A person's entity has one alias, at the `userpass` method, and no login there succeeds
without a one-time code. So what the scope says of every token, `mfa`, is true: there
is no other way to become that entity. TOTP can be phished, so no `acr` is claimed.
"""

import hashlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

from strongroom.errors import PreconditionError, Reason
from strongroom_server.dev.addresses import HOST
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.people import DIGITS, PEOPLE, PERIOD_S, Person, person
from strongroom_server.dev.private_files import write_if_changed, write_record
from strongroom_server.dev.vault_client import VaultClient

#: Where the provider is, below OpenBao's address.
PROVIDER: Final = "identity/oidc/provider/strongroom"
MOUNT: Final = "userpass"
#: The claim that holds a person's name: nobody but the provider can choose it.
NAME_CLAIM: Final = "preferred_username"

# People, key, assignment and enforcement have one name each.
_NAME: Final = "people"
_CLIENT: Final = "strongroom"
_POLICY_NAME: Final = "strongroom-dev-people"
# The second half is what OpenBao's own pages ask for.
_POLICY: Final = f"""\
# People of the development stack: sign in for Strongroom, and nothing else.
path "{PROVIDER}/authorize" {{
  capabilities = ["read", "update"]
}}

path "auth/token/lookup-self" {{
  capabilities = ["read"]
}}

path "auth/token/revoke-self" {{
  capabilities = ["update"]
}}

path "sys/capabilities-self" {{
  capabilities = ["update"]
}}

path "sys/internal/ui/*" {{
  capabilities = ["read"]
}}
"""
_METHOD: Final[Mapping[str, object]] = {
    "method_name": _NAME,
    "issuer": "Strongroom development",
    "period": PERIOD_S,
    "digits": DIGITS,
    "algorithm": "SHA1",
    # One code before and after: phones' clocks differ.
    "skew": 1,
    "key_size": 20,
    "max_validation_attempts": 5,
}
_USER: Final[Mapping[str, object]] = {
    "token_policies": [_POLICY_NAME],
    "token_no_default_policy": True,
    "token_bound_cidrs": [f"{HOST}/32"],
    "token_ttl": "10m",
    "token_max_ttl": "10m",
}
_KEY: Final[Mapping[str, object]] = {
    "algorithm": "ES256",
    "rotation_period": "24h",
    "verification_ttl": "24h",
}
_OIDC_CLIENT: Final[Mapping[str, object]] = {
    "key": _NAME,
    # Without a secret, which no program of a person could keep: PKCE is enforced.
    "client_type": "public",
    "assignments": [_NAME],
    "id_token_ttl": "1h",
    "access_token_ttl": "1m",
}
_SCOPE: Final = (
    f'{{"{NAME_CLAIM}": {{{{identity.entity.name}}}}, "amr": ["pwd", "otp", "mfa"]}}'
)


def issuer_url(vault_port: int) -> str:
    """Return the provider's URL, as its tokens spell it."""
    return f"https://{HOST}:{vault_port}/v1/{PROVIDER}"


def redirect_uri(vault_port: int) -> str:
    """Return where the command line waits for this provider's browsers, at any port.

    Source:
        RFC 8252, section 7.3: any port; RFC 9700, section 4.4.2.2: a path for each
        issuer, the first 32 characters of the SHA-256 of its URL.
    """
    digest = hashlib.sha256(issuer_url(vault_port).encode()).hexdigest()
    return f"http://{HOST}/callback/{digest[:32]}"


def authorization_url(vault_port: int) -> str:
    """Return the address of OpenBao's own pages at which people sign in."""
    return f"https://{HOST}:{vault_port}/ui/vault/{PROVIDER}/authorize"


def client_id(layout: StackLayout) -> str:
    """Return what the provider knows the command line as; empty before `up`."""
    path = layout.login_client
    return path.read_text("utf-8").strip() if path.exists() else ""


def desired_people(vault_port: int) -> list[object]:
    """Return what `provide_people` applies, to tell when it has to be applied anew."""
    return [
        *(list(PEOPLE), _POLICY, dict(_METHOD), dict(_USER), dict(_KEY)),
        *(_oidc_client(vault_port), _SCOPE),
    ]


def provide_people(client: VaultClient, layout: StackLayout) -> None:
    """Apply everything with a root token; each step may be repeated.

    Raises:
        PreconditionError: OpenBao refused a step.
        UnavailableError: OpenBao went away.
    """
    accessor = _ensure_mount(client)
    client.write(f"sys/policies/acl/{_POLICY_NAME}", {"policy": _POLICY})
    method = client.write_for_data("identity/mfa/method/totp", _METHOD)["method_id"]
    # First of all, so that at no time a password alone is enough.
    enforcement = {"mfa_method_ids": [method], "auth_method_accessors": [accessor]}
    client.write(f"identity/mfa/login-enforcement/{_NAME}", enforcement)
    entities = [
        _ensure_person(client, person(layout, name), accessor, str(method))
        for name in PEOPLE
    ]
    client.write(f"identity/oidc/assignment/{_NAME}", {"entity_ids": entities})
    client.write(f"identity/oidc/key/{_NAME}", _KEY)
    client.write(f"identity/oidc/client/{_CLIENT}", _oidc_client(client.port))
    known_as = str(_read(client, f"identity/oidc/client/{_CLIENT}")["client_id"])
    allowed = {"allowed_client_ids": [known_as]}
    client.write(f"identity/oidc/key/{_NAME}", {**_KEY, **allowed})
    client.write("identity/oidc/scope/profile", {"template": _SCOPE})
    client.write(PROVIDER, {**allowed, "scopes_supported": ["profile"]})
    write_if_changed(layout.login_client, f"{known_as}\n")


def _oidc_client(vault_port: int) -> dict[str, object]:
    return {**_OIDC_CLIENT, "redirect_uris": [redirect_uri(vault_port)]}


def _ensure_mount(client: VaultClient) -> str:
    """Mount the method of names and passwords; return its accessor."""
    if client.exchange("GET", f"sys/auth/{MOUNT}")[0] >= 400:  # noqa: PLR2004
        config = {"listing_visibility": "unauth"}
        client.write(f"sys/auth/{MOUNT}", {"type": MOUNT, "config": config})
    return str(_read(client, f"sys/auth/{MOUNT}")["accessor"])


def _ensure_person(client: VaultClient, who: Person, accessor: str, method: str) -> str:
    """Make somebody who has a password and a phone; return the entity's id."""
    user = {**_USER, "password": who.password()}
    client.write(f"auth/{MOUNT}/users/{who.name}", user)
    client.write("identity/entity", {"name": who.name})
    entity = str(_read(client, f"identity/entity/name/{who.name}")["id"])
    alias = {"canonical_id": entity, "mount_accessor": accessor, "name": who.name}
    client.write("identity/entity-alias", alias)
    if not who.phone_file.exists():
        body = {"method_id": method, "entity_id": entity}
        client.write("identity/mfa/method/totp/admin-destroy", body)
        path = "identity/mfa/method/totp/admin-generate"
        url = str(client.write_for_data(path, body)["url"])
        [secret] = parse_qs(urlsplit(url).query)["secret"]
        write_record(who.phone_file, {"secret": secret})
    return entity


def _read(client: VaultClient, path: str) -> dict[str, object]:
    found = client.read(path)
    if found is None:
        raise PreconditionError(
            f"OpenBao has nothing at {path}.", reason=Reason.SETTING_INVALID, path=path
        )
    return found

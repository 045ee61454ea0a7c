# SPDX-License-Identifier: Apache-2.0
"""A Vault with every login method, and good files for each of them."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import (
    AppRoleLogin,
    CertLogin,
    JwtLogin,
    KubernetesLogin,
    TokenFileLogin,
    VaultLogin,
    VaultSession,
    VaultSettings,
    open_vault,
)
from strongroom_server.ports import Clock
from tests.contract.key_service_suite import CONTEXT
from tests.contract.login_world import (
    AUDIENCE,
    ISSUER,
    ROLE,
    SUBJECT,
    TOKEN,
    Authority,
    Cluster,
    JwtIssuer,
    enable,
    running_cluster,
)
from tests.contract.vault_world import OwnRole, vault_settings
from tests.support.stack import BaoForTests, running_bao

SPIFFE_ID = "spiffe://example.org/strongroom/server"


@dataclass
class World:
    """A Vault with every method, and those who vouch for servers at it."""

    bao: BaoForTests
    issuer: JwtIssuer
    cluster: Cluster
    authority: Authority
    settings: VaultSettings


@dataclass
class Proof:
    """A login, and how whoever renews its files goes about it.

    Attributes:
        login: The login.
        renew: Makes the files good, with other contents than before.
        spoil: Makes them of no use.
        path: Where a login is asked for.
    """

    login: VaultLogin
    renew: Callable[[], object]
    spoil: Callable[[], object]
    path: str


@contextlib.contextmanager
def running_world(folder: Path) -> Iterator[World]:
    """Run a Vault with every method, and those who vouch for servers."""
    issuer, authority = JwtIssuer(), Authority()
    with (
        running_cluster(folder / "cluster") as cluster,
        running_bao(folder / "bao") as bao,
    ):
        root = bao.client()
        root.write(
            f"{enable(root, 'jwt')}/config",
            {"jwt_validation_pubkeys": [issuer.public_pem], "bound_issuer": ISSUER},
        )
        bounds = {"bound_audiences": [AUDIENCE], "bound_subject": SUBJECT}
        jwt_role = {"role_type": "jwt", "user_claim": "sub", **bounds, **TOKEN}
        root.write(f"auth/jwt/role/{ROLE}", jwt_role)
        root.write(
            f"{enable(root, 'kubernetes')}/config",
            {
                "kubernetes_host": cluster.address,
                "kubernetes_ca_cert": cluster.ca_pem,
                "token_reviewer_jwt": "the-reviewer",
                "disable_local_ca_jwt": True,
            },
        )
        accounts = {
            "bound_service_account_names": ["strongroom"],
            "bound_service_account_namespaces": ["ml"],
        }
        root.write(
            f"auth/kubernetes/role/{ROLE}", {**accounts, "audience": AUDIENCE, **TOKEN}
        )
        root.write(
            f"{enable(root, 'cert')}/certs/{ROLE}",
            {
                "certificate": authority.pem,
                "allowed_uri_sans": ["spiffe://example.org/strongroom/*"],
                **TOKEN,
            },
        )
        yield World(bao, issuer, cluster, authority, vault_settings(bao))


def proof_of(method: str, world: World, folder: Path) -> Proof:
    """Make the files of a login, good ones."""
    made = {
        "approle": _approle,
        "jwt": _jwt,
        "kubernetes": _kubernetes,
        "cert": _cert,
        "token": _token,
    }[method](world, folder)
    made.renew()
    return made


def _approle(world: World, folder: Path) -> Proof:
    role = OwnRole(world.bao, folder, **TOKEN)
    login = AppRoleLogin(role.role_id_file, role.secret_id_file)
    return Proof(
        login, role.renew_secret_id, role.destroy_secret_id, "auth/approle/login"
    )


def _jwt(world: World, folder: Path) -> Proof:
    file = folder / "jwt"
    number = iter(range(100))
    return Proof(
        JwtLogin(ROLE, file),
        lambda: file.write_text(world.issuer.sign(jti=str(next(number)))),
        lambda: file.write_text(JwtIssuer().sign()),
        "auth/jwt/login",
    )


def _kubernetes(world: World, folder: Path) -> Proof:
    file = folder / "token"
    number = iter(range(100))

    def renew() -> None:
        token = world.issuer.sign(jti=f"k8s-{next(number)}")
        world.cluster.valid.clear()
        world.cluster.valid.add(token)
        file.write_text(token)

    login = KubernetesLogin(ROLE, file)
    return Proof(login, renew, world.cluster.valid.clear, "auth/kubernetes/login")


def _cert(world: World, folder: Path) -> Proof:
    files = folder / "tls.crt", folder / "tls.key"
    return Proof(
        CertLogin(*files, role=ROLE),
        lambda: world.authority.issue(*files, SPIFFE_ID),
        lambda: Authority().issue(*files, SPIFFE_ID),
        "auth/cert/login",
    )


def _token(world: World, folder: Path) -> Proof:
    file = folder / "token"

    def renew() -> None:
        body = {"policies": ["strongroom-server"], "no_default_policy": True}
        file.write_text(new_token(world, **body, ttl="15m"))

    return Proof(
        TokenFileLogin(file),
        renew,
        lambda: file.write_text("s.nosuchtoken"),
        "auth/token/lookup-self",
    )


def new_token(world: World, **properties: object) -> str:
    answer: dict[str, Any] = world.bao.client().write("auth/token/create", properties)
    return str(answer["auth"]["client_token"])


def opened(world: World, login: VaultLogin, clock: Clock | None = None) -> Any:  # noqa: ANN401 - a context manager
    return open_vault(
        replace(world.settings, login=login),
        clock=clock or SystemClock(),
        entropy=SystemEntropy(),
    )


def works(vault: VaultSession) -> None:
    """Wrap a key and unwrap it."""
    made = vault.keys.generate("sr.store", CONTEXT)
    assert vault.keys.unwrap("sr.store", CONTEXT, made.wrapped) == made.plaintext

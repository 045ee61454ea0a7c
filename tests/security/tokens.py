# SPDX-License-Identifier: Apache-2.0
"""The token zoo: logins that are forged, of others, old, weak, or shown twice.

A real issuer over HTTPS, a real server over mTLS. Every call comes from a program
that may do by itself what is asked, so a login that were passed over would show.
"""

import hmac
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, product
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256

from strongroom.errors import Reason
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.oidc import OidcTokens
from strongroom_server.core.operators import LoginRules
from strongroom_server.core.revocation import Revocations, parse_revocations
from strongroom_server.rpc.identity import IdentityRules
from tests.rpc.authority import DEVELOPER, TRUST_DOMAIN
from tests.rpc.people import WORKSTATION, Metadata, bearing, moving, office
from tests.rpc.running import VERSION, Running
from tests.security.attacks import Attack, Family, Try, reasons
from tests.security.calling import call
from tests.support.oidc_issuer import (
    AUDIENCE,
    DISCOVERY,
    Issuer,
    new_key,
    part,
    public_jwk,
    public_pem,
    running_issuer,
    sign,
    sign_raw,
)

INVALID: Final = reasons(Reason.TOKEN_INVALID)
EXPIRED: Final = reasons(Reason.TOKEN_EXPIRED)
STALE: Final = reasons(Reason.STEP_UP_REQUIRED)
#: In place of a claim that is to be left out.
MISSING: Final = object()
_APPROVAL: Final = "0a1b2c3d-0123456789"
_READ: Final = transfer_pb.ReadVersionRequest(name=VERSION)


@dataclass
class Office:
    """A server, the provider that it believes, and somebody's key beside them."""

    server: Running
    issuer: Issuer
    stolen: PrivateKeyTypes
    revoked: Revocations = field(default_factory=Revocations)

    def claims(self, **changes: object) -> dict[str, object]:
        """Return what a good token of Alice claims, but for the changes."""
        now_s = int(time.time())
        claims: dict[str, object] = {
            "iss": self.issuer.url,
            "aud": AUDIENCE,
            "sub": "alice",
            "iat": now_s,
            "exp": now_s + 600,
            "auth_time": now_s,
            "amr": ["pwd", "otp", "mfa"],
            **changes,
        }
        return {key: value for key, value in claims.items() if value is not MISSING}

    def token(
        self, headers: dict[str, object] | None = None, /, **changes: object
    ) -> str:
        """Return a token of the issuer's, with more in its header and other claims."""
        return self.issuer.token(self.claims(**changes), headers=headers)

    def forged(self, headers: dict[str, object], algorithm: str = "ES256") -> str:
        """Return a token that the thief's key signed."""
        return sign(self.claims(), self.stolen, algorithm, {"kid": "one", **headers})

    def show(self, *tokens: str, certificate: str = DEVELOPER) -> None:
        """Move a ref, showing logins."""
        self.send(bearing(*tokens), certificate)

    def send(self, metadata: Metadata, certificate: str) -> None:
        """Move a ref, with any metadata."""
        call(moving(self.server, metadata, certificate=certificate))

    def honest(self) -> None:
        """Move a ref as Alice."""
        self.show(self.token())

    def read(self, *parts: int) -> None:
        """Read under one approval, whose uses lapse: so many messages; 0 for all."""
        self.server.book.approve(
            _APPROVAL,
            method="/strongroom.v1.TransferService/ReadVersion",
            request=_READ.SerializeToString(),
            requester="operator:alice",
            approvers=("operator:bob",),
        )
        shown = bearing(self.token(), strongroom_approval=_APPROVAL)
        for messages in parts:
            call(partial(self._take, messages, shown))
            self.server.book._entries[_APPROVAL].used_s = None

    def _take(self, messages: int, shown: Metadata) -> None:
        before = len(self.server.audit.events())
        self.server.script.responses = 100_000 if messages else 3
        with self.server.transfers(self.server.authority.issue(WORKSTATION)) as stub:
            answer = stub.ReadVersion(_READ, timeout=20, metadata=shown)
            taken = list(islice(answer, messages or None))
            answer.cancel()
        if taken:
            self.server.wait_for_entries(before + 2)  # intended, and ended

    def revoke(self, line: str, act: Try) -> None:
        """Do something while somebody is revoked."""
        self.revoked = parse_revocations(line)
        try:
            act()
        finally:
            self.revoked = Revocations()


def _attacks(at: Office, *, thorough: bool) -> Iterator[Attack]:
    def shown(name: str, tokens: Sequence[str], by: frozenset[str] = INVALID) -> Attack:
        return Attack(name, by, at.honest, [partial(at.show, item) for item in tokens])

    yield shown("a token without a signature", list(_unsigned(at)))
    yield shown("a MAC by the issuer's public key", list(_confused(at)))
    yield shown("a token signed by a thief's key", list(_forged(at)))
    yield shown("a token that brings its own key", list(_bringing(at)))
    yield shown("a key id of another key, or of none", list(_misnamed(at)))
    yield shown("a signature of another form", list(_misshapen(at)))
    yield shown(
        "a token with something changed in it", list(_altered(at, thorough=thorough))
    )
    yield shown("rules that nobody knows", list(_critical(at)))
    yield shown("an access token in place of an ID token", list(_access(at)))
    yield shown("a token for somebody else", list(_astray(at)))
    yield shown("a token whose time is over", list(_old(at)), EXPIRED)
    yield shown("a token whose time has not come", list(_early(at)))
    yield shown("a login long ago", [at.token(auth_time=_ago(13 * 3600))], EXPIRED)
    yield shown("no word on when they signed in", list(_undated(at)))
    yield shown("a change after a login that is minutes old", list(_stale(at)), STALE)
    yield shown("a change after one factor", list(_weak(at)), STALE)
    yield shown("a class or method that is none", list(_malformed(at)))
    yield shown("a name that is somebody else's, or nobody's", list(_names(at)))
    yield Attack(
        "two logins, other schemes, too long a token",
        INVALID,
        at.honest,
        [partial(at.send, metadata, DEVELOPER) for metadata in _transports(at)],
    )
    yield Attack(
        "a revoked person, or one at a revoked program",
        reasons(Reason.IDENTITY_REVOKED),
        at.honest,
        [
            partial(at.revoke, "operator:alice", at.honest),
            partial(at.revoke, "operator:Alice", at.honest),
            partial(at.revoke, DEVELOPER, at.honest),
        ],
    )
    yield Attack(
        "one approved answer, broken off before its end and asked for again",
        reasons(Reason.APPROVAL_USED),
        partial(at.read, 0),
        [partial(at.read, messages, 0) for messages in (1, 20)],
    )
    yield Attack(
        "a person who may do less than the program",
        reasons(Reason.ACTION_NOT_ALLOWED),
        at.honest,
        [lambda: at.show(at.token(sub="mallory"))],
    )
    yield Attack(
        "a workstation that leaves the login away",
        reasons(Reason.ACTION_NOT_ALLOWED),
        partial(at.show, at.token(), certificate=WORKSTATION),
        [partial(at.send, (), WORKSTATION)],
    )


def _unsigned(at: Office) -> Iterator[str]:
    claims = part(at.claims())
    wrong: tuple[object, ...] = ("none", "None", "NONE", "nOnE", "", None, 0, [])
    for algorithm in wrong:
        header = part({"alg": algorithm, "kid": "one"})
        yield from (f"{header}.{claims}{end}" for end in (".", ".AA", ""))
    good = at.token()
    yield good.rpartition(".")[0] + "."
    yield good.rpartition(".")[0]


def _confused(at: Office) -> Iterator[str]:
    _, key = at.issuer.keys["one"]
    public = public_jwk("ES256", key)
    secrets = [public_pem(key), public_pem(key).strip(), json.dumps(public).encode()]
    secrets += [str(public["x"]).encode(), b""]
    for bits in ("256", "384", "512"):
        for secret in secrets:
            text = f"{part({'alg': f'HS{bits}', 'kid': 'one'})}.{part(at.claims())}"
            yield f"{text}.{part(hmac.digest(secret, text.encode(), f'sha{bits}'))}"


def _forged(at: Office) -> Iterator[str]:
    yield at.forged({})
    for algorithm in ("RS256", "PS256", "ES384", "EdDSA"):
        yield sign(at.claims(), new_key(algorithm), algorithm, {"kid": "one"})


def _bringing(at: Office) -> Iterator[str]:
    own = {**public_jwk("ES256", at.stolen), "kid": "one"}
    for header in (
        {"jwk": own},
        {"jku": f"{at.issuer.url}/keys"},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/chain"},
        {"x5c": ["MIIB"]},
    ):
        yield at.forged(dict(header))
        yield at.token(dict(header))


def _misnamed(at: Office) -> Iterator[str]:
    _, own = at.issuer.keys["one"]
    wrong = ("two", "three", "enc", "oct", "../one", "one ", "", None, 1, ["one"])
    for key_id, key in product(wrong, (own, at.stolen)):
        header = {"alg": "ES256", "kid": key_id}
        yield sign_raw(header, at.claims(), key, "ES256")
    yield sign_raw({"alg": "ES256"}, at.claims(), own, "ES256")
    _, key = at.issuer.keys["enc"]
    yield sign(at.claims(), key, "ES256", {"kid": "enc"})
    text = f"{part({'alg': 'HS256', 'kid': 'oct'})}.{part(at.claims())}"
    yield f"{text}.{part(hmac.digest(b'secret', text.encode(), 'sha256'))}"


def _misshapen(at: Office) -> Iterator[str]:
    header, claims, _ = at.token().split(".")
    zeros = bytes(63)
    for signature in (zeros + b"\0", zeros + b"\1", b"\0", b"\xff" * 64, zeros * 60):
        yield f"{header}.{claims}.{part(signature)}"
    key: Any = at.issuer.keys["one"][1]
    for algorithm in ("ES384", "ES512", "RS256", "PS256", "EdDSA", "ES256K", "es256"):
        text = f"{part({'alg': algorithm, 'kid': 'one'})}.{claims}"
        yield f"{text}.{at.token().rpartition('.')[2]}"
    der = key.sign(f"{header}.{claims}".encode(), ec.ECDSA(SHA256()))
    yield f"{header}.{claims}.{part(der)}"


def _altered(at: Office, *, thorough: bool) -> Iterator[str]:
    good = at.token()
    header, claims, signature = good.split(".")
    other = at.token(sub="mallory").split(".")
    yield f"{header}.{other[1]}.{signature}"
    yield f"{header}.{claims}.{other[2]}"
    yield f"{header}.{part(at.claims(sub='bob'))}.{signature}"
    places = range(0, len(good), 1 if thorough else 29)
    for place in places:
        # The last character of a part may hold bits that mean nothing.
        if good[place] != "." and good[place + 1 : place + 2] not in {".", ""}:
            swapped = "A" if good[place] != "A" else "B"
            yield good[:place] + swapped + good[place + 1 :]


def _critical(at: Office) -> Iterator[str]:
    yield at.token({"crit": ["exp"]})
    yield at.token({"crit": ["b64"], "b64": True})
    yield at.token({"crit": []})


def _access(at: Office) -> Iterator[str]:
    strong: dict[str, object] = {"acr": "phrh", "amr": ["hwk", "user"]}
    for kind in ("at+jwt", "application/at+jwt", "logout+jwt", "JWE", 7):
        yield at.token({"typ": kind}, **strong)
    yield at.token(typ="Bearer", **strong)
    yield at.token(aud="https://api.example", **strong)
    yield at.token(aud=MISSING, client_id=AUDIENCE, scope="openid", **strong)


def _astray(at: Office) -> Iterator[str]:
    for audience in ("other", [], ["other"], MISSING, AUDIENCE.upper(), {AUDIENCE: 1}):
        yield at.token(aud=audience)
    yield at.token(aud=[AUDIENCE, "other"])
    yield at.token(aud=[AUDIENCE, "other"], azp="other")
    yield at.token(azp="other")
    url = at.issuer.url
    for issuer in ("https://evil.example", f"{url}/", url.upper(), MISSING, [url]):
        yield at.token(iss=issuer)


def _old(at: Office) -> Iterator[str]:
    for seconds in (31, 3600, 10**9):
        yield at.token(exp=_ago(seconds))


def _early(at: Office) -> Iterator[str]:
    yield at.token(nbf=_ago(-60))
    yield at.token(iat=_ago(-60))
    yield at.token(auth_time=_ago(-60))


def _undated(at: Office) -> Iterator[str]:
    wrong = (MISSING, None, "now", True, -1, float("nan"), float("inf"), 10**30, [0])
    for claim in ("auth_time", "exp", "iat"):
        yield from (at.token(**{claim: value}) for value in wrong)


def _stale(at: Office) -> Iterator[str]:
    for seconds in (301, 3600, 11 * 3600):
        yield at.token(auth_time=_ago(seconds))


def _weak(at: Office) -> Iterator[str]:
    for methods in (["pwd"], ["pwd", "otp"], [], ["hwk"], ["user"], ["MFA"], MISSING):
        yield at.token(amr=methods)
    # A security key that somebody touched is one factor.
    yield at.token(amr=["hwk", "user"])
    for klass in ("0", "phr ", "PHR", "phr,phrh", "aal2"):
        yield at.token(amr=MISSING, acr=klass)
    # Words of its own in other places say nothing.
    yield at.token(amr=MISSING, mfa=True, acr_values="phr", act={"acr": "phr"})


def _malformed(at: Office) -> Iterator[str]:
    for methods in ("mfa", {"mfa": True}, [["mfa"]], [7], None, ["m" * 33], ["a"] * 17):
        yield at.token(amr=methods)
    for klass in (["phr"], 7, None, {"value": "phr"}, "p" * 257):
        yield at.token(acr=klass)


def _names(at: Office) -> Iterator[str]:
    wrong = (
        "operator:alice",
        "*",
        "",
        "alice\n",
        " alice",
        "alice/job/1",
        "\uff41lice",
    )
    for name in (*wrong, "alice\0", "a" * 129, MISSING, None, 7, ["alice"]):
        yield at.token(sub=name)


def _transports(at: Office) -> Iterator[Metadata]:
    good = at.token()
    yield bearing(good, good)
    yield bearing(good, at.token(sub="bob"))
    yield bearing("", good)
    for text in (good, f"Basic {good}", f"bearer {good}", f"Bearer  {good}"):
        yield (("authorization", text),)
    for text in (f"Bearer {good}, Bearer {good}", f"Bearer {good} x", "Bearer", ""):
        yield (("authorization", text),)
    yield bearing(at.token(padding="x" * 6000))


def _ago(seconds: int) -> int:
    return int(time.time()) - seconds


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    with running_issuer() as issuer:
        issuer.add_key("two", "ES256")
        issuer.add_key("enc", "ES256")
        _publish_traps(issuer)
        rules = LoginRules(issuer.url, AUDIENCE)
        clock = SystemClock()
        tokens = OidcTokens(rules, ca_file=issuer.ca_file, clock=clock)
        door: list[Office] = []
        who = IdentityRules(
            TRUST_DOMAIN, revoked=lambda: door[0].revoked if door else Revocations()
        )
        with office(tokens=tokens, rules=who) as server:
            door.append(Office(server, issuer, new_key("ES256")))
            yield list(_attacks(door[0], thorough=thorough))
    assert DISCOVERY in issuer.requests


def _publish_traps(issuer: Issuer) -> None:
    """Publish a key for encryption, and a secret, beside the keys that sign."""
    listed = issuer.jwks()["keys"]
    listed[-1]["use"] = "enc"
    listed.append({"kty": "oct", "kid": "oct", "alg": "HS256", "k": part(b"secret")})
    issuer.documents["/keys"] = json.dumps({"keys": listed}).encode()


FAMILY: Final = Family("tokens", _opened)

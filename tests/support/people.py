# SPDX-License-Identifier: Apache-2.0
"""The people of a real stack: how they type, and what only they may have."""

import json
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.cli import STRONGROOM
from tests.support.searching import Wanted


def terminal_of(name: str, root: Path) -> dict[str, str]:
    """Return the environment in which somebody of a stack types commands.

    Where a browser would open, password and phone are used without one.

    Args:
        name: As the stack knows them.
        root: The stack's folder.
    """
    return {
        "STRONGROOM_CONFIG": str(root / "client" / name / "client.toml"),
        "BROWSER": f"{STRONGROOM} dev sign-in {name} %s --dir {root}",
    }


def secrets_of_people(root: Path) -> Iterator[Wanted]:
    """Yield what a person keeps in mind, in a pocket, or in a login's file.

    Args:
        root: The stack's folder.
    """

    def home(path: Path) -> frozenset[str]:
        return frozenset({str(path.relative_to(root))})

    for path in sorted(root.glob("vault/people/*/password")):
        yield Wanted(f"{path.parent.name}'s password", path.read_bytes(), home(path))
    for path in sorted(root.glob("vault/people/*/phone.json")):
        secret = json.loads(path.read_text())["secret"]
        yield Wanted(f"{path.parent.name}'s phone", secret.encode(), home(path))
    for path in sorted(root.glob("client/*/login/*.json")):
        login = json.loads(path.read_text())
        yield Wanted(f"{login['name']}'s token", login["token"].encode(), home(path))
    for path in sorted(root.glob("client/*/security-key.json")):
        pem = json.loads(path.read_text())["private_key"]
        key = load_pem_private_key(pem.encode(), None)
        assert isinstance(key, EllipticCurvePrivateKey)
        number = key.private_numbers().private_value.to_bytes(32, "big")
        name = f"the security key of {path.parent.name}"
        yield Wanted(name, number, home(path))
        yield Wanted(f"{name} in PEM", pem.splitlines()[1].encode(), home(path))

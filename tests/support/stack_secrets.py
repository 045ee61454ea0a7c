# SPDX-License-Identifier: Apache-2.0
"""All secrets of a dev stack, gathered so that tests can look where else they are."""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from strongroom_server.core import canonical, slots
from strongroom_server.core.scope import Scope, parse_id
from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.openbao import OpenBao
from strongroom_server.dev.provisioning import SERVER_APPROLE, approle
from strongroom_server.dev.vault_client import VaultClient
from tests.support.cli import LiveStack
from tests.support.people import secrets_of_people
from tests.support.searching import Wanted


class Secrets:
    """All secrets of a stack."""

    def __init__(self, stack: LiveStack) -> None:
        self._root = stack.root
        self._layout = StackLayout(stack.root.resolve())

    def all(self, objects: Mapping[str, bytes]) -> list[Wanted]:
        """Return them; `objects` is the bucket."""
        bao = OpenBao(self._layout, AddressBook(self._layout.addresses))
        vault = approle(self._layout, SERVER_APPROLE).log_in(bao.client())
        found = [
            *self._of_store(),
            *self._of_vault(),
            *self._private_keys(),
            *self._of_domains(objects, vault),
            *secrets_of_people(self._root.resolve()),
            Wanted("a token of Vault", vault.token.encode()),
        ]
        assert len({item.value for item in found}) == len(found)
        return found

    def _of_store(self) -> Iterator[Wanted]:
        for path in sorted((self._root / "seaweed").glob("*.json")):
            credentials = json.loads(path.read_text())
            if "secret_key" in credentials:
                yield Wanted(
                    f"the S3 secret key of {path.stem}",
                    credentials["secret_key"].encode(),
                    self._homes(path, self._root / "seaweed/identities.json"),
                )

    def _of_vault(self) -> Iterator[Wanted]:
        record = self._layout.unseal_record
        for name, value in json.loads(record.read_text()).items():
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and len(text) > 20:
                    home = self._homes(record)
                    yield Wanted(f"unseal.json: {name}", text.encode(), home)
        for path in sorted(self._root.glob("vault/approle/*/secret_id")):
            name = f"the secret id of {path.parent.name}"
            yield Wanted(name, path.read_bytes().strip(), self._homes(path))

    def _private_keys(self) -> Iterator[Wanted]:
        for path in sorted(self._root.rglob("*.key")):
            home = self._homes(path)
            key = load_pem_private_key(path.read_bytes(), None)
            assert isinstance(key, EllipticCurvePrivateKey)
            numbers = key.private_numbers()
            secret = numbers.private_value.to_bytes((key.key_size + 7) // 8, "big")
            name = f"the private key {self._named(path)}"
            yield Wanted(name, secret, home)
            yield Wanted(f"{name} in PEM", path.read_bytes().splitlines()[1], home)

    def _of_domains(
        self, objects: Mapping[str, bytes], vault: VaultClient
    ) -> Iterator[Wanted]:
        seen = set()
        for key, data in objects.items():
            if not key.startswith("keys/"):
                continue
            body = canonical.decode_object(data.partition(b"\n")[2], 2**20)
            scope = Scope(
                bytes.fromhex(body["store"]),
                parse_id(body["project"]),
                parse_id(body["domain"]),
                body["epoch"],
            )
            slot = slots.parse_slot(data.partition(b"\n")[2], scope)
            if scope in seen or not slot.wrapped_master.startswith(newest(vault, slot)):
                continue
            seen.add(scope)
            answer = vault.write_for_data(
                f"transit/decrypt/{slot.kek}",
                {
                    "ciphertext": slot.wrapped_master,
                    "context": base64.b64encode(scope.kek_context).decode(),
                },
            )
            keys = slots.open_slot(slot, base64.b64decode(str(answer["plaintext"])))
            for name, value in (
                ("master key", keys.master),
                ("dedup key", keys.dedup),
                ("key of manifests", keys.object_key("manifest")),
            ):
                if name != "dedup key" or scope.epoch == 0:
                    yield Wanted(f"{name} of {slot.kek}, epoch {scope.epoch}", value)

    def _homes(self, *paths: Path) -> frozenset[str]:
        return frozenset(self._named(path) for path in paths)

    def _named(self, path: Path) -> str:
        return str(path.resolve().relative_to(self._layout.root))


def newest(vault: VaultClient, slot: slots.KeySlot) -> str:
    """Return what begins a key that the KEK's newest version wraps."""
    key = vault.read(f"transit/keys/{slot.kek}") or {}
    return f"vault:v{key['latest_version']}:"

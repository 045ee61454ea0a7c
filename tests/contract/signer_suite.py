# SPDX-License-Identifier: Apache-2.0
"""What every `Signer` must do; run against memory and OpenBao alike."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from strongroom.errors import IntegrityError
from strongroom_server.core.signatures import SignatureAlgorithm, verify_signatures
from strongroom_server.ports import Signer

BOTH = frozenset(SignatureAlgorithm)
#: The longest journal entry.
MAX_MESSAGE_BYTES = 128 * 1024


class SignerSuite:
    """Subclasses give a fixture `signer`, and `rotated`, which rotates its keys."""

    @pytest.fixture
    def rotated(self) -> None:
        message = "a suite needs a way to rotate"
        raise NotImplementedError(message)

    @pytest.mark.parametrize("size", [0, 1, 4096, MAX_MESSAGE_BYTES])
    def test_what_it_signs_verifies(self, signer: Signer, size: int) -> None:
        message = bytes(size)

        signatures = signer.sign(message)

        verify_signatures(message, signatures, signer.public_keys(), required=BOTH)

    def test_it_signs_with_both_algorithms_in_order(self, signer: Signer) -> None:
        algorithms = [signature.algorithm for signature in signer.sign(b"entry")]

        assert algorithms == list(SignatureAlgorithm)

    def test_another_message_does_not_verify(self, signer: Signer) -> None:
        signatures = signer.sign(b"entry")

        with pytest.raises(IntegrityError):
            verify_signatures(b"Entry", signatures, signer.public_keys(), required=BOTH)

    @pytest.mark.parametrize("position", [0, 1])
    def test_half_a_pair_of_another_message_does_not_verify(
        self, signer: Signer, position: int
    ) -> None:
        mixed = list(signer.sign(b"entry"))
        mixed[position] = signer.sign(b"other")[position]

        with pytest.raises(IntegrityError):
            verify_signatures(b"entry", mixed, signer.public_keys(), required=BOTH)

    def test_public_keys_have_the_documented_form(self, signer: Signer) -> None:
        for key_id, key in signer.public_keys().items():
            assert key.key_id == key_id
            assert key_id.rpartition(":")[2].isdecimal()
            if key.algorithm is SignatureAlgorithm.ML_DSA_65:
                assert len(key.data) == 1952
            else:
                public = load_pem_public_key(key.data)
                assert isinstance(public, ec.EllipticCurvePublicKey)
                assert isinstance(public.curve, ec.SECP384R1)

    def test_an_unknown_key_id_is_not_there(self, signer: Signer) -> None:
        keys = signer.public_keys()

        assert keys.get("sr.sign.version:999") is None
        assert keys.get("") is None
        assert len(keys) == len(list(keys))

    def test_after_a_rotation_old_and_new_entries_verify(
        self, signer: Signer, request: pytest.FixtureRequest
    ) -> None:
        before = signer.sign(b"before")
        keys = signer.public_keys()

        request.getfixturevalue("rotated")
        after = signer.sign(b"after")

        assert {s.key_id for s in before}.isdisjoint(s.key_id for s in after)
        keys = signer.public_keys() if after[0].key_id not in keys else keys
        verify_signatures(b"before", before, keys, required=BOTH)
        verify_signatures(b"after", after, keys, required=BOTH)

# SPDX-License-Identifier: Apache-2.0
"""Everything that hvac and requests raise becomes an error of ours."""

import inspect

import hvac.exceptions
import pytest
import requests

from strongroom.errors import IntegrityError, StrongroomError
from strongroom_server.adapters.vault.failures import vault_errors

KEK = "sr.aaaa.bbbb"


def _classes(module: object, base: type[Exception]) -> list[type[Exception]]:
    found = [cls for _, cls in inspect.getmembers(module, inspect.isclass)]
    return [cls for cls in found if issubclass(cls, base)]


@pytest.mark.parametrize(
    "raised",
    [
        *_classes(hvac.exceptions, hvac.exceptions.VaultError),
        *_classes(requests.exceptions, requests.exceptions.RequestException),
    ],
)
def test_everything_that_the_vendors_raise_becomes_an_error_of_ours(
    raised: type[Exception],
) -> None:
    refusal = IntegrityError("refused")
    error = (
        raised("message", "document", 0)
        if issubclass(raised, requests.exceptions.JSONDecodeError)
        else raised("message")
    )

    with pytest.raises(StrongroomError) as caught, vault_errors(KEK, lambda: refusal):
        raise error

    assert caught.value.__cause__ is error
    assert type(caught.value).__module__ == "strongroom.errors"
    if raised is hvac.exceptions.InvalidRequest:
        assert caught.value is refusal


def test_a_bug_of_ours_is_not_taken_for_a_fault_of_vault() -> None:
    with (
        pytest.raises(ZeroDivisionError),
        vault_errors(KEK, lambda: IntegrityError("x")),
    ):
        raise ZeroDivisionError

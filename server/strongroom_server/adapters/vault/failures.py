# SPDX-License-Identifier: Apache-2.0
"""What hvac and requests raise, turned into errors of ours; the only such place.

Messages name neither Vault's address nor its paths, since they reach callers;
the chained cause has both, for the server's own log.
"""

import contextlib
from collections.abc import Callable, Iterator

import requests
import urllib3.exceptions
from hvac import exceptions as hvac_errors

from strongroom.errors import (
    InternalError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)

#: What an operation makes of a request that Vault calls invalid.
Refusal = Callable[[], StrongroomError]

_UNSEAL_HINT = (
    "Unseal Vault with `bao operator unseal`, or run `strongroom dev up` in a dev"
    " stack."
)
_START_HINT = (
    "Check that Vault runs and that the server's `vault` settings name it; in a dev"
    " stack run `strongroom dev up`."
)
_POLICY_HINT = (
    "Compare the policies of the server's AppRole with `deploy/vault`; see whether"
    " its secret id has expired."
)
#: How Vault and OpenBao word a 400 or 404 for a key that is not there.
_MISSING = ("not found", "no handler for route", "unsupported path")
#: How OpenSSL words it, whatever is wrapped around its error.
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
#: How OpenBao words a 400 for a key that an operator has paused or aged out.
_WITHHELD = ("soft-deleted", "disallowed by policy")


@contextlib.contextmanager
def vault_errors(key: str, refused: Refusal) -> Iterator[None]:
    """Turn what hvac and requests raise into errors of ours.

    Args:
        key: The key that the request is about, for messages; may be "".
        refused: Makes the error for a request that Vault calls invalid (400),
            where the cause is neither a missing key nor a withheld one.
    """
    try:
        yield
    except hvac_errors.VaultError as error:
        raise _from_vault(error, key, refused) from error
    except requests.exceptions.Timeout as error:
        raise unavailable("Vault did not answer in time") from error
    except requests.exceptions.SSLError as error:
        # A handshake that broke off comes as such an error, too.
        is_untrusted = _UNTRUSTED in str(error)
        raise unavailable(
            "Vault's certificate is not trusted"
            if is_untrusted
            else "Vault cannot be reached"
        ) from error
    except requests.exceptions.JSONDecodeError as error:
        raise unavailable("Vault's answer cannot be understood") from error
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
    ) as error:
        raise unavailable("Vault cannot be reached") from error
    except OSError as error:
        # requests looks for the CA file anew with each connection.
        raise setting_invalid("Vault's CA file cannot be read") from error


def is_denied(error: StrongroomError) -> bool:
    """Tell whether Vault refused the token or what the token may do."""
    return isinstance(error.__cause__, hvac_errors.Forbidden | hvac_errors.Unauthorized)


def unavailable(message: str) -> UnavailableError:
    """Make the error for a Vault that does not work now."""
    return UnavailableError(
        message, reason=Reason.KEY_SERVICE_UNAVAILABLE, hint=_START_HINT
    )


def access_denied(message: str) -> PreconditionError:
    """Make the error for what Vault does not let the server do."""
    return PreconditionError(
        message, reason=Reason.KEK_ACCESS_DENIED, hint=_POLICY_HINT
    )


def setting_invalid(message: str) -> PreconditionError:
    """Make the error for a setting that cannot work."""
    return PreconditionError(
        message,
        reason=Reason.SETTING_INVALID,
        hint="Mend the server's `vault` settings and start it again.",
    )


def key_missing(message: str, *, key: str) -> PreconditionError:
    """Make the error for a key of Vault's that is gone or of the wrong kind."""
    return PreconditionError(
        message,
        reason=Reason.KEK_MISSING,
        hint="Restore Vault from its newest snapshot; without the key nothing opens.",
        key=key,
    )


def _from_vault(error: Exception, key: str, refused: Refusal) -> StrongroomError:
    text = str(error.args[0]).lower() if error.args else ""
    match error:
        case hvac_errors.VaultDown() if "sealed" in text:
            return _sealed("Vault is sealed")
        case hvac_errors.VaultNotInitialized():
            return _sealed("Vault is not initialised")
        case hvac_errors.Forbidden() | hvac_errors.Unauthorized():
            return access_denied("Vault denied the server's request")
        case hvac_errors.InvalidRequest() | hvac_errors.InvalidPath():
            return _from_refusal(error, text, key, refused)
        case hvac_errors.ParamValidationError() | hvac_errors.UnsupportedOperation():
            return InternalError("a request to Vault was malformed")
        case _:
            # 5xx, 429 and whatever proxies make up. OpenBao answers 500 while it
            # cannot write its own audit log.
            return unavailable("Vault failed to answer the request")


def _from_refusal(
    error: Exception, text: str, key: str, refused: Refusal
) -> StrongroomError:
    # Vault answers 400 to nearly everything, so that its words must be read. Words
    # that we do not know fall to the operation's own error, which refuses too.
    if isinstance(error, hvac_errors.InvalidPath) or any(
        words in text for words in _MISSING
    ):
        return key_missing(f"Vault does not have the key {key}", key=key)
    if any(words in text for words in _WITHHELD):
        return access_denied(f"Vault withholds the key {key}: paused, or retired")
    return refused()


def _sealed(message: str) -> UnavailableError:
    return UnavailableError(
        message, reason=Reason.KEY_SERVICE_SEALED, hint=_UNSEAL_HINT
    )

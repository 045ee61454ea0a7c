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
_FAILED_HINT = (
    "Look at the disks of Vault's audit devices first: it answers 500 to all that it"
    " cannot record, while `sys/health` says 200. Else see whether it has a leader,"
    " and its log."
)
_CLOCK_HINT = (
    "Compare the clocks of this machine and Vault's, then see until when the"
    " certificate of Vault's listener lives."
)
_POLICY_HINT = (
    "Compare the policies of the server's login in Vault with what `strongroom vault"
    " policy` prints, and the mounts with the server's settings."
)
_WITHHELD_HINT = (
    "See with `bao read transit/keys/NAME` which: a paused key goes on after"
    " `bao write -f transit/keys/NAME/soft-delete-restore`, an old version after a"
    " lower `min_decryption_version`."
)
_MOUNT_HINT = (
    "If the mount of the server's settings is right, its engine was removed: restore"
    " Vault from its newest snapshot. A new engine at the same place opens nothing."
)
#: How Vault and OpenBao word a 400 or 404 for a key that is not there.
_MISSING = ("not found",)
#: How they word it for an engine that is not there, or is another.
_NO_ENGINE = ("no handler for route", "unsupported path")
_DENIALS = (hvac_errors.Forbidden, hvac_errors.Unauthorized)
#: How OpenBao words a 500 for a client certificate that has ended.
_BAD_CERTIFICATE = "failed to verify client's certificate"
#: How they word a 400 for a wrapped key that is younger than the key's newest
#: version: the key came back from an old snapshot, or was made anew.
_TOO_NEW = "version is too new"
#: How OpenSSL words it, whatever is wrapped around its error.
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_OUT_OF_TIME = ("certificate has expired", "certificate is not yet valid")
#: How OpenBao words a 400 for a key that an operator has paused or aged out.
_WITHHELD = ("soft-deleted", "disallowed by policy")


@contextlib.contextmanager
def vault_errors(
    key: str, refused: Refusal, denied: Refusal | None = None
) -> Iterator[None]:
    """Turn what hvac and requests raise into errors of ours.

    Args:
        key: The key that the request is about, for messages; "" if about none.
        refused: Makes the error for a request that Vault calls invalid (400),
            where the cause is neither a missing key nor a withheld one.
        denied: Makes the error for a 403 (else KEK_ACCESS_DENIED).
    """
    try:
        yield
    except hvac_errors.VaultError as error:
        raise _from_vault(error, key, refused, denied or _denied) from error
    except requests.exceptions.Timeout as error:
        raise unavailable("Vault did not answer in time") from error
    except requests.exceptions.SSLError as error:
        raise _from_handshake(str(error)) from error
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
    return isinstance(error.__cause__, _DENIALS)


def is_behind(error: StrongroomError) -> bool:
    """Tell whether Vault does not have the state yet that it was asked for (412)."""
    return isinstance(error.__cause__, hvac_errors.PreconditionFailed)


def unavailable(message: str, *, hint: str = _START_HINT) -> UnavailableError:
    """Make the error for a Vault that does not work now."""
    return UnavailableError(message, reason=Reason.KEY_SERVICE_UNAVAILABLE, hint=hint)


def access_denied(message: str, *, hint: str = _POLICY_HINT) -> PreconditionError:
    """Make the error for what Vault does not let the server do."""
    return PreconditionError(message, reason=Reason.KEK_ACCESS_DENIED, hint=hint)


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


def _from_handshake(text: str) -> UnavailableError:
    if any(words in text for words in _OUT_OF_TIME):
        message = "Vault's certificate has ended, or has not begun yet"
        return unavailable(message, hint=_CLOCK_HINT)
    if _UNTRUSTED in text:
        return unavailable("Vault's certificate is not trusted")
    # A handshake that broke off comes as such an error, too.
    return unavailable("Vault cannot be reached")


def _denied() -> PreconditionError:
    return access_denied("Vault denied the server's request")


def _from_vault(
    error: Exception, key: str, refused: Refusal, denied: Refusal
) -> StrongroomError:
    text = str(error.args[0]).lower() if error.args else ""
    match error:
        case hvac_errors.VaultDown() if "sealed" in text:
            return _sealed("Vault is sealed")
        case hvac_errors.VaultNotInitialized():
            return _sealed("Vault is not initialised")
        case _ if isinstance(error, _DENIALS) or _BAD_CERTIFICATE in text:
            return denied()
        case hvac_errors.InvalidRequest() | hvac_errors.InvalidPath():
            return _from_refusal(error, text, key, refused)
        case hvac_errors.ParamValidationError() | hvac_errors.UnsupportedOperation():
            return InternalError("a request to Vault was malformed")
        case _:
            # 5xx, 429 and whatever proxies make up.
            return unavailable("Vault failed to answer the request", hint=_FAILED_HINT)


def _from_refusal(
    error: Exception, text: str, key: str, refused: Refusal
) -> StrongroomError:
    # Vault answers 400 to nearly everything, so that its words must be read. Words
    # that we do not know fall to the operation's own error, which refuses too.
    if not key:
        return refused()
    if any(words in text for words in _NO_ENGINE):
        return PreconditionError(
            "Vault has no engine for this at the mount of the server's settings",
            reason=Reason.KEK_MISSING,
            hint=_MOUNT_HINT,
            key=key,
        )
    if _TOO_NEW in text:
        message = f"Vault's key {key} lacks the version that a domain key is wrapped by"
        return key_missing(message, key=key)
    if isinstance(error, hvac_errors.InvalidPath) or any(
        words in text for words in _MISSING
    ):
        return key_missing(f"Vault does not have the key {key}", key=key)
    if any(words in text for words in _WITHHELD):
        return access_denied(
            f"Vault withholds the key {key}: paused, or the version retired",
            hint=_WITHHELD_HINT,
        )
    return refused()


def _sealed(message: str) -> UnavailableError:
    return UnavailableError(
        message, reason=Reason.KEY_SERVICE_SEALED, hint=_UNSEAL_HINT
    )

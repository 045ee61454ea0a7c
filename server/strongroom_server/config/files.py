# SPDX-License-Identifier: Apache-2.0
"""The files that settings name: S3's credentials, and the access policy."""

import json
import tomllib
from pathlib import Path

from strongroom.errors import PreconditionError, Reason
from strongroom_server.core.access import Policy, parse_policy


def read_credentials(path: Path) -> tuple[str, str]:
    """Return the access key and the secret key of a credentials file.

    Raises:
        PreconditionError: It cannot be read, or is none (SETTING_INVALID).
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        access_key, secret_key = document["access_key"], document["secret_key"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        message = f"{path} is not JSON with access_key and secret_key"
        raise _invalid(message, path) from error
    return str(access_key), str(secret_key)


def read_policy(path: Path) -> Policy:
    """Return the access policy of a file.

    Raises:
        PreconditionError: It cannot be read as TOML (SETTING_INVALID).
        InvalidArgumentError: It is no policy (SETTING_INVALID).
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"the access policy {path} cannot be read as TOML"
        raise _invalid(message, path) from error
    return parse_policy(document)


def _invalid(message: str, path: Path) -> PreconditionError:
    return PreconditionError(
        message,
        reason=Reason.SETTING_INVALID,
        hint="Mend it, then run `strongroom-server config check`.",
        path=path,
    )

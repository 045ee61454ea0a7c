# SPDX-License-Identifier: Apache-2.0
"""The files that settings name: S3's credentials."""

import json
from pathlib import Path

from strongroom.errors import PreconditionError, Reason


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


def _invalid(message: str, path: Path) -> PreconditionError:
    return PreconditionError(
        message,
        reason=Reason.SETTING_INVALID,
        hint="Mend it, then run `strongroom-server config check`.",
        path=path,
    )

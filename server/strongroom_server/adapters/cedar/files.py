# SPDX-License-Identifier: Apache-2.0
"""The files that say who may do what, and whether they have changed."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.cedar.authorizer import CedarAuthorizer
from strongroom_server.adapters.cedar.policies import (
    long_locks_policy,
    protected_refs_policy,
    shipped_policies,
)
from strongroom_server.core.assignments import parse_assignments

_MAX_FILE_BYTES: Final = 1024 * 1024
_MAX_FILES: Final = 1000
_PATTERN: Final = "*.cedar"

#: What tells one state of the files from another.
Identity = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class AccessFiles:
    """Where policies and assignments lie.

    Attributes:
        assignments: TOML: who has which role where.
        policies: A folder with `*.cedar` files of the site's own; None for none.
        shipped_roles: Whether the roles that come with the server are there, too.
        shipped_rules: Whether the rules for everybody that come with it are.
        protected_refs: Names of refs, with `*`, that nobody moves alone.
        lock_days_alone: For how many days at most somebody locks a backup alone; 0
            for any. It is a rule that comes with the server.
    """

    assignments: Path
    policies: Path | None = None
    shipped_roles: bool = True
    shipped_rules: bool = True
    protected_refs: tuple[str, ...] = ()
    lock_days_alone: int = 0

    def identity(self) -> Identity:
        """Return what changes whenever a file is replaced, written, made or removed.

        Raises:
            PreconditionError: A file cannot be looked at (SETTING_INVALID).
        """
        found = []
        for path in (self.assignments, *self._policy_files()):
            try:
                stat = path.stat()
            except OSError as error:
                raise _unreadable(path, error) from error
            found.append((path.name, stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return tuple(found)

    def read(self) -> CedarAuthorizer:
        """Read, parse and check all files.

        Raises:
            PreconditionError: A file cannot be read (SETTING_INVALID).
            InvalidArgumentError: As `CedarAuthorizer` and `parse_assignments`.
        """
        texts = shipped_policies(roles=self.shipped_roles, rules=self.shipped_rules)
        texts |= protected_refs_policy(self.protected_refs)
        texts |= long_locks_policy(self.lock_days_alone if self.shipped_rules else 0)
        for path in self._policy_files():
            # A site's file never takes the place of one of ours: ids would clash.
            texts[f"{path.parent.name}/{path.name}"] = _read(path)
        try:
            document = tomllib.loads(_read(self.assignments))
        except (ValueError, RecursionError) as error:  # tomllib's, of deep nesting
            message = f"the role assignments {self.assignments} are not TOML: {error}"
            raise _invalid(message, self.assignments) from error
        return CedarAuthorizer(texts, parse_assignments(document))

    def _policy_files(self) -> list[Path]:
        if self.policies is None:
            return []
        if not self.policies.is_dir():
            message = f"the folder of access policies {self.policies} does not exist"
            raise _invalid(message, self.policies)
        files = sorted(self.policies.glob(_PATTERN))
        if len(files) > _MAX_FILES:
            message = f"{self.policies} has {len(files)} policies, over {_MAX_FILES}"
            raise _invalid(message, self.policies)
        return files


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        if len(content) > _MAX_FILE_BYTES:
            message = f"{path} is longer than {_MAX_FILE_BYTES} bytes"
            raise _invalid(message, path)
        return content.decode("utf-8")
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8"
        raise _invalid(message, path) from error


def _unreadable(path: Path, error: OSError) -> PreconditionError:
    return _invalid(f"{path} cannot be read: {error.strerror}", path)


def _invalid(message: str, path: Path) -> PreconditionError:
    return PreconditionError(
        message,
        reason=Reason.SETTING_INVALID,
        hint="Mend it, then run `strongroom-server config check`.",
        path=path,
    )

# SPDX-License-Identifier: Apache-2.0
"""Settings as sections of a TOML file, overridden by the environment: any of them.

A class whose attributes are sections says which there are; nothing unknown passes.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, Field, asdict, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints
from urllib.parse import urlsplit

from strongroom.errors import InvalidArgumentError, Reason

#: Variables with this prefix are settings; all others are none of our business.
PREFIX: Final = "STRONGROOM__"

Section = TypeVar("Section")


def read_environ() -> Mapping[str, str]:
    """Return the environment of the process."""
    return os.environ


def read_document(path: Path) -> dict[str, object]:
    """Return what a settings file says, undecoded.

    Raises:
        InvalidArgumentError: It cannot be read, or is not TOML (SETTING_INVALID).
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        message = f"settings file {path} cannot be read: {cause}"
        raise setting_error(message) from error


def load_sections(
    cls: type[Section],
    document: Mapping[str, object],
    environ: Mapping[str, str],
    **lists: object,
) -> Section:
    """Make settings of a class whose attributes are sections, and of some lists.

    Raises:
        InvalidArgumentError: As `load_settings`, but what no single setting tells.
    """
    tables = _tables(document, frozenset(lists))
    for name, value in environ.items():
        if name.startswith(PREFIX):
            section, _, key = name.removeprefix(PREFIX).lower().partition("__")
            tables.setdefault(section, {})[key] = value
    hints = get_type_hints(cls)
    sections = {name: kind for name, kind in hints.items() if name not in lists}
    unknown = sorted(set(tables) - set(sections))
    if unknown:
        message = f"[{unknown[0]}] is not a section of the settings"
        raise setting_error(message)
    made = {
        name: _make_section(name, kind, tables.get(name, {}))
        for name, kind in sections.items()
    }
    values: dict[str, Any] = {**made, **lists}
    return cls(**values)


def read_list(
    name: str, cls: type[Section], document: Mapping[str, object]
) -> tuple[Section, ...]:
    """Return the sections of a name that there may be several of.

    Raises:
        InvalidArgumentError: They are no list of tables (SETTING_INVALID).
    """
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        message = f"{name} is not a list of tables: write [[{name}]]"
        raise setting_error(message)
    return tuple(_make_section(name, cls, item) for item in value)


def format_sections(
    settings: Any,  # noqa: ANN401 - any dataclass
    *,
    lists: AbstractSet[str] = frozenset(),
) -> str:
    """Return settings as a TOML file that would be understood the same.

    Args:
        settings: Its attributes are sections, or lists of sections.
        lists: Which of them are lists.
    """
    sections = asdict(settings)
    several = {name: sections.pop(name) for name in sorted(lists)}
    parts = [_format_table(f"[{name}]", section) for name, section in sections.items()]
    parts += [
        _format_table(f"[[{name}]]", section)
        for name, tables in several.items()
        for section in tables
    ]
    return "\n".join(parts)


def _format_table(heading: str, table: Mapping[str, object]) -> str:
    lines = [
        f"{key} = {_format_value(value)}\n"
        for key, value in table.items()
        if value is not None
    ]
    return f"{heading}\n" + "".join(lines)


def check_url(key: str, url: str) -> None:
    """Check that a URL is safe to talk to.

    Raises:
        InvalidArgumentError: It is neither https nor on loopback (SETTING_INVALID).
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    if not host or not is_safe:
        message = f"the setting {key} cannot be {url!r}: neither https nor on loopback"
        raise setting_error(message)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def setting_error(message: str) -> InvalidArgumentError:
    """Return the error for a setting that cannot be."""
    return InvalidArgumentError(
        message,
        reason=Reason.SETTING_INVALID,
        hint="Mend it, then run `strongroom-server config check`.",
    )


def _tables(
    document: Mapping[str, object], lists: frozenset[str]
) -> dict[str, dict[str, object]]:
    tables: dict[str, dict[str, object]] = {}
    for name, table in document.items():
        if name in lists:
            continue
        if not isinstance(table, Mapping):
            message = f"{name} is not a section of the settings"
            raise setting_error(message)
        tables[name] = dict(table)
    return tables


def _make_section(
    name: str, cls: type[Section], table: Mapping[str, object]
) -> Section:
    types = get_type_hints(cls)
    unknown = sorted(set(table) - set(types))
    if unknown:
        message = f"{name}.{unknown[0]} is not a setting"
        raise setting_error(message)
    values: dict[str, Any] = {}
    for item in _fields(cls):
        key = f"{name}.{item.name}"
        if item.name in table:
            values[item.name] = _parse(key, types[item.name], table[item.name])
        elif item.default is MISSING and item.default_factory is MISSING:
            message = f"the setting {key} is missing"
            raise setting_error(message)
    return cls(**values)


def _fields(cls: Any) -> tuple[Field[Any], ...]:  # noqa: ANN401 - any dataclass
    return fields(cls)


def _parse(key: str, wanted: object, value: object) -> object:
    """Return a value of the wanted type; texts of the environment are parsed."""
    try:
        if wanted == tuple[str, ...]:
            return _parse_list(value)
        if wanted is bool:
            return _parse_flag(value)
        if wanted in {int, float}:
            return _parse_number(wanted, value)
    except ValueError as error:
        message = f"the setting {key} cannot be {value!r}"
        raise setting_error(message) from error
    if not isinstance(value, str):
        message = f"the setting {key} cannot be {value!r}; it is a text"
        raise setting_error(message)
    if wanted is str:
        return value
    if not value:
        message = f"the setting {key} is empty; it is a path"
        raise setting_error(message)
    return Path(value)


def _parse_list(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return tuple(value)
    message = "not a list of texts"
    raise ValueError(message)


def _parse_flag(value: object) -> bool:
    flags: dict[object, bool] = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in flags:
        return flags[value]
    message = "not true or false"
    raise ValueError(message)


def _parse_number(wanted: object, value: object) -> float:
    number = float("nan" if isinstance(value, bool) else str(value))
    if not 0 <= number < float("inf") or (wanted is int and number % 1):
        message = "not a number of that kind"
        raise ValueError(message)
    return int(number) if wanted is int else number


def _format_value(value: object) -> str:
    # JSON's texts, numbers, flags and lists are TOML's, once DEL is escaped.
    plain = str(value) if isinstance(value, Path) else value
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")

# SPDX-License-Identifier: Apache-2.0
"""Arguments that are plain as they are, without loading pydantic for them.

Typer has each argument checked by pydantic, whose import takes longer than most
commands do. A string needs no check, nor what stands for itself; whatever else there
is goes to Typer, so that errors are its own. Releases of Typer that keep their checks
elsewhere are left alone.
"""

import os
from pathlib import Path
from typing import Final, Literal, Protocol, get_args, get_origin

#: Where Typer keeps the check of a parameter, from its first use on.
_CHECK: Final = "_runtime_param"
_PARAMETERS: Final = "get_params"
#: What a path may be asked to be; the second ones are asked unless told otherwise.
_ASKED_OF_PATHS: Final = ("exists", "writable", "resolve_path", "path_type", "parser")
_KINDS_OF_PATHS: Final = ("file_okay", "dir_okay", "readable")


class _Check(Protocol):
    """What Typer has of a parameter's values."""

    def coerce(self, value: object, param: "_Parameter", ctx: object) -> object:
        """Return the value as the command takes it, or raise what is wrong."""
        ...


class _Told(Protocol):
    """What a command says of a parameter: its type, and what Typer is to ask."""

    annotation: object
    parameter_info: object


class _Parameter(Protocol):
    """A parameter, as Typer has it."""

    multiple: bool
    nargs: int
    default: object
    type_descriptor: _Told

    def get_runtime_param(self) -> _Check:
        """Return its check, made at its first use."""
        ...


def pass_plain_values(command: object) -> None:
    """Let a command, and those below it, take plain values as they are."""
    found = getattr(command, _PARAMETERS, None)
    if found is None:
        return

    def parameters_of(context: object) -> list[object]:
        # Here, since `--help` is no parameter before the command is called.
        parameters: list[object] = found(context)
        for parameter in parameters:
            if getattr(parameter, _CHECK, "") is None:
                setattr(parameter, _CHECK, _PlainValue())
        return parameters

    setattr(command, _PARAMETERS, parameters_of)
    for below in getattr(command, "commands", {}).values():
        pass_plain_values(below)


class _PlainValue:
    """The check of one parameter: it passes what is plain, and asks Typer else."""

    def coerce(self, value: object, param: _Parameter, ctx: object) -> object:
        """Return the value as the command takes it; raise what Typer raises."""
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        annotation = param.type_descriptor.annotation
        info = param.type_descriptor.parameter_info
        if many:
            if annotation == list[str] and _are_texts(value):
                return value
        elif annotation is Path and _is_plain_path(value, info):
            return Path(str(value))
        elif _stands_for_itself(value, annotation) or _is_default(value, param):
            return value
        setattr(param, _CHECK, None)
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _are_texts(value: object) -> bool:
    return isinstance(value, tuple | list) and all(type(item) is str for item in value)


def _stands_for_itself(value: object, annotation: object) -> bool:
    if get_origin(annotation) is Literal:
        return value in get_args(annotation)
    return annotation in {str, bool} and type(value) is annotation


def _is_default(value: object, param: _Parameter) -> bool:
    """Return whether a value is the command's own."""
    return param.type_descriptor.annotation is int and value is param.default


def _is_plain_path(value: object, info: object) -> bool:
    """Return whether Typer would pass a path on, whatever lies there."""
    if not isinstance(value, str | Path):
        return False
    if any(getattr(info, name, True) for name in _ASKED_OF_PATHS):
        return False
    if not all(getattr(info, name, False) for name in _KINDS_OF_PATHS):
        return False
    return os.access(value, os.R_OK) or not os.path.lexists(value)

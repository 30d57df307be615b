"""The flat list of settings, read off the tree: what the documentation, the environment and the command need.

Owns the mapping between a dotted key, its variable and the words for its type. Must not hold values.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from .kinds import HasPassword
from .tree import Settings

ENV_PREFIX: Final = "MINOOTS_"
ENV_LEVEL: Final = "__"

_NAMES: Final[dict[object, str]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    Path: "path",
    SecretStr: "secret",
    IPv4Network: "network",
    IPv6Network: "network",
}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        key: dotted name, as in ``[gateway] port`` = ``gateway.port``.
        env: its environment variable; ``None`` for ``schema_version``, which belongs to the file.
        type: its type and bounds in words.
        default: its default as it would stand in the file; ``unset`` when there is none.
        description: what it is for.
        secret: the value is never shown.
        has_password: the value may hold a password, which is masked.
        is_list: the value is a list.
        optional: the value may be unset.
    """

    key: str
    env: str | None
    type: str
    default: str
    description: str
    secret: bool
    has_password: bool
    is_list: bool
    optional: bool


@cache
def list_settings() -> tuple[Setting, ...]:
    """Return every setting, in the order of the tree."""
    return tuple(_walk(Settings, ()))


@cache
def settings_by_key() -> dict[str, Setting]:
    """Return every setting by its dotted key."""
    return {setting.key: setting for setting in list_settings()}


@cache
def settings_by_env() -> dict[str, Setting]:
    """Return every setting that a variable can hold, by the variable."""
    return {setting.env: setting for setting in list_settings() if setting.env}


def _walk(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        annotation = field.annotation
        here = (*path, name)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _walk(annotation, here)
            continue
        kind = Annotated[annotation, *field.metadata] if field.metadata else annotation
        secret = _mentions(kind, SecretStr)
        yield Setting(
            key=".".join(here),
            env=None if here == ("schema_version",) else ENV_PREFIX + ENV_LEVEL.join(here).upper(),
            type=_words(kind),
            default=_default(field),
            description=field.description or "",
            secret=secret,
            has_password=_marked(kind),
            is_list=_mentions(kind, tuple),
            optional=_mentions(kind, type(None)),
        )


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(str(item) for item in value) + "]"
    return str(value)


def _mentions(kind: Any, wanted: object) -> bool:
    if kind is wanted or get_origin(kind) is wanted:
        return True
    # A list of optional things is not itself optional; a list of secrets is secret.
    if get_origin(kind) is tuple and wanted is not SecretStr:
        return False
    return any(_mentions(argument, wanted) for argument in get_args(kind) if not isinstance(argument, str))


def _marked(kind: Any) -> bool:
    if get_origin(kind) is Annotated and any(isinstance(item, HasPassword) for item in get_args(kind)[1:]):
        return True
    return any(_marked(argument) for argument in get_args(kind))


def _words(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *metadata = get_args(kind)
        return _words(inner) + _bounds(metadata)
    if origin is Literal:
        return " | ".join(str(value) for value in get_args(kind))
    if origin is tuple:
        one = get_args(kind)[0]
        # Choices are values, and no nouns.
        return f"list of {_words(one) if get_origin(one) is Literal else _plural(_words(one))}"
    if origin in {Union, types.UnionType}:
        return " | ".join(dict.fromkeys(_words(one) for one in get_args(kind) if one is not type(None)))
    return _NAMES.get(kind) or typing.cast(type, kind).__name__


def _plural(words: str) -> str:
    noun, _, bounds = words.partition(" ")
    return f"{noun}s {bounds}".rstrip()


def _bounds(metadata: list[Any]) -> str:
    low = high = None
    for item in metadata:
        # Annotated aliases carry a FieldInfo, plain fields the bounds themselves.
        for bound in item.metadata if isinstance(item, FieldInfo) else [item]:
            if isinstance(bound, annotated_types.Ge):
                low = bound.ge
            elif isinstance(bound, annotated_types.Le):
                high = bound.le
    return f" from {low} to {high}" if low is not None and high is not None else ""

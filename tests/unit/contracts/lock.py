"""The lock of every field that crosses a wire: ``python tests/unit/contracts/lock.py`` writes it anew.

Its diff is the review of a change: a new field needs a default, a retired one is never used again.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

import minoots.contracts
import minoots_workflows

LOCK = Path(__file__).parent / "contracts.lock"
T = TypeVar("T")


def _defined(kind: type[T]) -> Iterator[type[T]]:
    for package in (minoots.contracts, minoots_workflows):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            for value in vars(module).values():
                if (
                    isinstance(value, type)
                    and issubclass(value, kind)
                    and value.__module__ == module.__name__
                ):
                    yield value


def models() -> Iterator[type[BaseModel]]:
    """Every model that is defined in the contracts of the wire and of the workflows."""
    return _defined(BaseModel)


def rows() -> list[str]:
    """One row a field: whether it must be given, and its schema without prose. One row a set of words."""
    found = {
        f"{words.__module__}.{words.__name__}: {' | '.join(sorted(words))}" for words in _defined(StrEnum)
    }
    for model in models():
        schema = model.model_json_schema()
        for name, field in schema.get("properties", {}).items():
            need = "required" if name in schema.get("required", ()) else "optional"
            shape = {
                key: value for key, value in field.items() if key not in ("description", "title", "examples")
            }
            text = json.dumps(shape, sort_keys=True)
            found.add(f"{model.__module__}.{model.__name__}.{name}: {need} {text}")
    return sorted(found)


if __name__ == "__main__":
    LOCK.write_text("\n".join(rows()) + "\n")
    print(f"wrote {LOCK.name}")

"""What a sub-command is for, read from its source without running it.

Owns reading help texts where `typer` would find them: what an app is made with, the docstring of its callback
or of its only command, the docstring of a function. Must not import the module of a command: all of them take
longer together than a reader of ``minoots --help`` waits. What is written in another way is left to loading.
"""

from __future__ import annotations

import ast
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from typing import Final, TypeAlias

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


def summary(point: EntryPoint) -> str | None:
    """Return the help text of the command of ``point``, or ``None`` where only loading it can tell."""
    source = _source(point.module)
    if source is None:
        return None
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return None
    for statement in body:
        if isinstance(statement, _FUNCTIONS) and statement.name == point.attr:
            # One that is decorated may be anything in the end.
            return None if statement.decorator_list else _docstring(statement)
        if isinstance(statement, ast.Assign) and [_name(one) for one in statement.targets] == [point.attr]:
            return _of_app(point.attr, statement.value, body)
    return None


def _source(module: str) -> str | None:
    """Return the source of a module, ``None`` where there is none, or no module."""
    try:
        spec: ModuleSpec | None = find_spec(module)
        get_source = getattr(spec and spec.loader, "get_source", None)
        return None if get_source is None else get_source(module)
    except (ImportError, ValueError):
        return None


def _of_app(app: str, made: ast.expr, body: list[ast.stmt]) -> str | None:
    if not isinstance(made, ast.Call):
        return None
    given = _help(made)
    if given is not None:
        return given
    decorated: dict[str, list[tuple[ast.expr, _Function]]] = {"callback": [], "command": []}
    for function in body:
        if isinstance(function, _FUNCTIONS):
            for decorator in function.decorator_list:
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                if isinstance(called, ast.Attribute) and _name(called.value) == app:
                    decorated.setdefault(called.attr, []).append((decorator, function))
    # An app without a callback and with one command is that command.
    told = decorated["callback"] or decorated["command"]
    if len(told) != 1:
        return None
    decorator, function = told[0]
    if isinstance(decorator, ast.Call) and any(keyword.arg == "help" for keyword in decorator.keywords):
        return _help(decorator)
    return _docstring(function)


def _help(call: ast.Call) -> str | None:
    """Return the text given as ``help=``, or first to a function that makes apps."""
    told = [keyword.value for keyword in call.keywords if keyword.arg == "help"] + call.args[:1]
    if told and isinstance(told[0], ast.Constant) and isinstance(told[0].value, str):
        return told[0].value
    return None


def _docstring(function: _Function) -> str:
    return ast.get_docstring(function) or ""


def _name(expression: ast.expr) -> str | None:
    return expression.id if isinstance(expression, ast.Name) else None

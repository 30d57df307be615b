"""Write the reference from the code: ``python docs/generate.py``. A test fails when it is out of date."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any, cast

from minoots.contracts import EventType
from minoots.errors import FAILURES
from minoots_api import openapi
from minoots_api.app import create_app
from minoots_api.gateway import Gateway
from minoots_platform.settings import Settings, list_settings
from minoots_platform.telemetry import start_telemetry
from minoots_workflows.models.failures import MODEL_ERRORS

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py; do not edit. -->\n"


class _OnlyDescribed:
    """What `create_app` reads of a gateway that will never serve."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.telemetry = start_telemetry(self.settings, "docs")


def routes() -> str:
    """Every route: method, path, what it does, parameters, answers."""
    described = _OnlyDescribed()
    document = openapi.describe(create_app(cast(Gateway, described)))
    described.telemetry.close()
    parts = ["# Routes\n", NOTE, "The machine-readable form is `GET /openapi.json` of a running gateway.\n"]
    for path, item in sorted(document["paths"].items()):
        for method, operation in item.items():
            parts.append(_route(method, path, operation))
    return "\n".join(parts)


def _route(method: str, path: str, operation: dict[str, Any]) -> str:
    lines = [f"## `{method.upper()} {path}`\n", operation.get("description", ""), ""]
    for parameter in operation.get("parameters", []):
        text = parameter.get("description", "")
        lines.append(f"- `{parameter['name']}` ({parameter['in']}) {text}".rstrip())
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        names = sorted(
            {
                one["$ref"].rsplit("/", 1)[-1]
                for one in [body, *body.get("anyOf", []), *body.get("oneOf", [])]
                if "$ref" in one
            }
        )
        lines.append(f"- body: {', '.join(f'`{name}`' for name in names)}")
    lines.append(f"- answers: {', '.join(sorted(operation['responses']))}\n")
    return "\n".join(lines)


def settings() -> str:
    """Every setting: key, variable, type, default, what it is."""
    rows = ["| setting | variable | type | default | |", "|---|---|---|---|---|"]
    for one in list_settings():
        default = "" if one.default is None else f"`{one.default}`"
        where = f"`{one.env}`" if one.env else "file only"
        kind = str(one.type).replace("|", "/")
        rows.append(f"| `{one.key}` | {where} | {kind} | {default} | {one.description} |")
    text = "In `minoots.toml`, or in the environment, which wins. `minoots config validate` checks them.\n"
    return "\n".join(["# Settings\n", NOTE, text, *rows, ""])


def events() -> str:
    """Every event type."""
    rows = ["| type | |", "|---|---|"]
    texts = _docstrings(EventType)
    rows += [f"| `{one.value}` | {texts.get(one.name, '')} |" for one in EventType]
    text = (
        "Every transition appends one event: CloudEvents 1.0 with `sequence`, a number without gaps for each "
        "tenant. Events about a delivery have its timer as `subject`.\n"
    )
    return "\n".join(["# Events\n", NOTE, text, *rows, ""])


def _docstrings(enum: type) -> dict[str, str]:
    """The strings below the members of an enum."""
    [body] = ast.parse(inspect.getsource(enum)).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    last = None
    for node in body.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            last = node.targets[0].id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and last is not None:
            found[last] = str(node.value.value)
    return found


def errors() -> str:
    """The one table of failures."""
    rows = ["| kind | status | try again? | who acts | SDK class | |", "|---|---|---|---|---|---|"]
    for kind, rule in FAILURES.items():
        again = "yes" if rule.retry else "no"
        rows.append(
            f"| `{kind}` | {rule.status} | {again} | {rule.acts} | `{rule.error.__name__}` | {rule.title} |"
        )
    text = (
        "Every error is `application/problem+json` (RFC 9457) with `kind`, `detail`, `remedy`, `request_id` "
        "and, for `invalid`, `errors`: the field, what was expected, what came.\n"
    )
    return "\n".join(["# Errors\n", NOTE, text, *rows, "", *_model_errors(), ""])


def _model_errors() -> list[str]:
    """What can go wrong between the service and a language model."""
    head = ("kind", "another model?", "counts against it?", "try again?", "is", "remedy")
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    yes = {True: "yes", False: "no"}
    for kind, rule in MODEL_ERRORS.items():
        marks = f"{yes[rule.next]} | {yes[rule.unwell]} | {yes[rule.again]}"
        rows.append(f"| `{kind}` | {marks} | `{rule.kind}` | {rule.remedy} |")
    text = (
        "What a provider of language models answers is one of these, whatever its wire. *Another model?*: "
        "whether the next one is asked, where the request allows one. *Counts against it?*: whether its "
        "breaker hears of it. *Is*: what it is in the table above.\n"
    )
    return ["## Language models\n", text, *rows]


PAGES = {"routes.md": routes, "settings.md": settings, "events.md": events, "errors.md": errors}


if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page())
        print(f"wrote reference/{name}")

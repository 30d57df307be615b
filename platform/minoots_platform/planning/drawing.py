"""A plan as text that programs draw: Mermaid and DOT."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from minoots.contracts import NodeState

from .language import KEYWORDS

_COLOURS: Final = {
    NodeState.WAITING: "#e5e7eb",
    NodeState.RUNNING: "#bfdbfe",
    NodeState.SUCCEEDED: "#bbf7d0",
    NodeState.FAILED: "#fecaca",
    NodeState.SKIPPED: "#f3f4f6",
    NodeState.CANCELLED: "#fde68a",
}


@dataclass(frozen=True)
class Drawn:
    """What a drawing shows of a node."""

    id: str
    state: NodeState
    after: tuple[str, ...]
    join: str | int
    when: str
    due: str | None


def draw(nodes: Iterable[Drawn]) -> tuple[str, str]:
    """Return a plan in Mermaid and in DOT."""
    shown = list(nodes)
    # Ids of its own: words such as "end" mean something to Mermaid.
    names = {node.id: f"n{number}" for number, node in enumerate(shown)}
    mermaid = ["flowchart TD"]
    dot = ["digraph plan {", "  rankdir=TB;", '  node [shape=box, style="rounded,filled"];']
    for node in shown:
        parts = [node.id, node.state.value, *([node.due] if node.due else [])]
        mermaid.append(f'  {names[node.id]}["{"<br/>".join(map(_plain, parts))}"]:::{node.state}')
        label = json.dumps("\n".join(parts), ensure_ascii=False)
        dot.append(f'  {names[node.id]} [label={label}, fillcolor="{_COLOURS[node.state]}"];')
    for node in shown:
        for position, name in enumerate(node.after):
            text = _edge(node) if position == 0 else ""
            mermaid.append(f"  {names[name]} -->{f'|{_quoted(text)}|' if text else ''} {names[node.id]}")
            note = f" [label={json.dumps(text, ensure_ascii=False)}]" if text else ""
            dot.append(f"  {names[name]} -> {names[node.id]}{note};")
    mermaid += [f"  classDef {state} fill:{colour},color:#111827" for state, colour in _COLOURS.items()]
    return "\n".join(mermaid) + "\n", "\n".join([*dot, "}"]) + "\n"


def _edge(node: Drawn) -> str:
    """Return what a node asks of those before it, where that is not the usual."""
    when = "" if node.when == "succeeded" else node.when if node.when in KEYWORDS else f"if {node.when}"
    join = "" if node.join == "all" or len(node.after) == 1 else f"{node.join} of {len(node.after)}"
    return " ".join(part for part in (join, when) if part)


def _plain(text: str) -> str:
    for char, entity in (("&", "#amp;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(char, entity)
    return text


def _quoted(text: str) -> str:
    return f'"{_plain(text)}"'

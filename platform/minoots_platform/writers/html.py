"""HTML: one page that needs nothing else. Whatever was said is text in it, never markup."""

from __future__ import annotations

import json
from html import escape
from typing import Any, ClassVar, Final

from minoots.contracts.conversations import ConversationEvent, ConversationEventKind

from .headlines import headline
from .markdown import INTERRUPTED, SUMMARY, speaker_of, stamp_of
from .visible import visible
from .writer import Look, Rendered, Writer

Kind = ConversationEventKind

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;"
    "background:Canvas;color:CanvasText;color-scheme:light dark}"
    "article{border-left:3px solid #8888;margin:1rem 0;padding:.2rem 1rem}article.user{border-color:#48c}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;font:inherit;margin:0}"
    "details pre,code{font:14px/1.4 ui-monospace,monospace}h2{font-size:1rem;margin:.2rem 0}"
    "small{opacity:.7;font-weight:normal}"
)


class Html(Writer):
    """Writes a page. Ends of elements are left out where HTML allows it, so that it can be appended to."""

    format: ClassVar[str] = "html"
    extension: ClassVar[str] = ".html"

    def head(self, look: Look, rendered: Rendered) -> str:
        """Return the beginning of the page."""
        title = escape(visible(look.title or "Conversation"))
        # No script can run in it, whatever a browser makes of it.
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        return (
            f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n<h1>{title}</h1>\n"
        )

    def render(self, event: ConversationEvent, look: Look, state: dict[str, Any], into: Rendered) -> None:
        """Append an article."""
        said = _said(event, look)
        if said:
            into.text += f"{visible(said)}\n"

    def hidden(self, look: Look) -> frozenset[ConversationEventKind]:
        """Return the kinds that are never shown."""
        return frozenset({Kind.USAGE, Kind.TITLE})


def _said(event: ConversationEvent, look: Look) -> str:
    match event.kind:
        case Kind.USER:
            return _user(event, look)
        case Kind.ASSISTANT if look.commentary or event.phase != "commentary":
            return _article("assistant", speaker_of(event.model), event, look)
        case Kind.SYSTEM if look.system_events:
            return _article("system", "system", event, look)
        case Kind.THINKING if look.thinking and event.text:
            return _fold("Thinking", event.text)
        case Kind.TOOL_CALL if look.tool_calls and event.tool:
            given = event.tool.input
            shown = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, indent=2)
            return _fold(f"Tool: {headline(event.tool)}", shown)
        case Kind.TOOL_RESULT if look.tool_results and event.tool:
            what = "Error" if event.tool.is_error else "Result"
            return _fold(f"{what}: {event.tool.name or event.tool.call_id}", event.tool.output or "")
        case Kind.DECISION if look.decisions and event.choice:
            chosen = f" → {', '.join(event.choice.chosen)}" if event.choice.chosen else ""
            return f"<p><b>Decision:</b> {escape(event.choice.question + chosen)}</p>"
        case Kind.COMPACTION:
            summary = "" if event.details.get("boundary") else (event.text or "").strip()
            told = "<p><i>The conversation was compacted here.</i></p>"
            return told + (_fold(SUMMARY, summary) if summary else "")
        case Kind.REWIND:
            return "<p><i>What came before was taken back, up to an earlier point.</i></p>"
        case Kind.ERROR:
            return f"<p><b>Error:</b> {escape(event.text or 'something went wrong')}</p>"
        case _:
            return ""


def _user(event: ConversationEvent, look: Look) -> str:
    told = f"<p><i>{INTERRUPTED}</i></p>" if event.details.get("interrupted") else ""
    command = event.details.get("command")
    if event.injected and not command:
        return told
    if event.injected:
        event = event.model_copy(update={"text": str(command), "enclosed": ()})
    return told + _article("user", look.username or "user", event, look)


def _article(kind: str, speaker: str, event: ConversationEvent, look: Look) -> str:
    when = "" if event.ts is None else stamp_of(event.ts, look)
    came = "".join(
        f"<p><small>{escape(one.media_type)}, {one.size} bytes</small></p>" for one in event.enclosed
    )
    return (
        f'<article class="{kind}"><h2>{escape(speaker)} <small>{when}</small></h2>'
        f"<pre>\n{escape(event.text or '')}</pre>{came}</article>"
    )


def _fold(summary: str, text: str) -> str:
    return f"<details><summary>{escape(summary)}</summary><pre>\n{escape(text)}</pre></details>"

"""``minoots sessions`` and ``minoots recordings``: what was captured of sessions with agents."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from minoots.contracts.conversations import ConversationEvent
from minoots.contracts.sessions import SessionHit, SessionTree
from minoots.errors import Failure, FailureKind
from minoots.operations.sessions import Filter

from . import output
from .arguments import given
from .moments import local, relative
from .session import Session, group, remote

app = group("Read and search what was said in sessions with agents.")
recordings = group("See which sessions are written into which files.")

Id = Annotated[
    str,
    typer.Argument(
        metavar="SESSION",
        help="Its id, the program's own id or the beginning of it; provider/ID where several have it.",
        show_default=False,
    ),
]
_SHORT = 60
_INTERRUPTED = "(interrupted)"
_MOST = 200


@remote(app, "list")
def list_sessions(
    session: Session,
    provider: Annotated[str | None, typer.Option(help="Such as claude, codex, gemini.")] = None,
    cwd: Annotated[str | None, typer.Option(help="Held in this folder, or below it.")] = None,
    title: Annotated[str | None, typer.Option(help="What the title holds.")] = None,
    subagents: Annotated[bool, typer.Option(help="Also those of sub-agents.")] = False,
    recorded: Annotated[bool, typer.Option("--recorded", help="Only those being recorded.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most so many; 0 for all.")] = 30,
) -> None:
    """List sessions, those in which something was said last first."""
    wanted: dict[str, Any] = given(provider=provider, cwd=cwd, title=title)
    if recorded:
        wanted["recorded"] = True
    found = islice(session.client.sessions.list(**wanted, subagents=subagents), limit or None)
    if session.json:
        for one in found:
            output.json_line(one)
        return
    now = datetime.now(UTC)
    rows = [
        (
            one.id,
            one.provider,
            relative(one.last_at or one.updated_at, now),
            one.events,
            one.children or "",
            "●" if one.recordings else "",
            (one.title or "")[:_SHORT],
        )
        for one in found
    ]
    output.table(("ID", "PROVIDER", "LAST", "EVENTS", "SUB", "REC", "TITLE"), rows)


@remote(app)
def show(
    session: Session,
    id: Id,
    after: Annotated[int | None, typer.Option(min=0, help="Begin after the event of this number.")] = None,
    tools: Annotated[bool, typer.Option(help="Also what tools were given and gave.")] = False,
) -> None:
    """Show what was said in a session."""
    found = session.client.sessions.get(session_id(session, id))
    events = session.client.sessions.events(found.id, after=after)
    if session.json:
        for one in events:
            output.json_line(one)
        return
    now = datetime.now(UTC)
    output.fields(
        [
            ("id", found.id),
            ("session", f"{found.provider} {found.session_id}"),
            ("title", found.title or "-"),
            ("parent", found.parent_id and f"{found.parent_id} ({found.relation or 'parent'})"),
            ("folder", found.cwd or "-"),
            ("model", found.model or "-"),
            ("last", local(found.last_at, now)),
        ]
    )
    for one in events:
        text = _said(one.event, tools=tools)
        if text:
            output.line("")
            output.line(f"[{one.number}] {_who(one.event)}")
            for line in text.splitlines():
                output.line(line)


@remote(app)
def tree(session: Session, id: Id) -> None:
    """Show a session with those of its sub-agents."""
    found = session.client.sessions.tree(session_id(session, id))
    if session.json:
        output.json_line(found)
        return
    _branch(found, 0)


@remote(app)
def state(session: Session, id: Id) -> None:
    """Tell what a session does: idle, thinking, waiting for a tool, unanswered."""
    found = session.client.sessions.state(session_id(session, id))
    if session.json:
        output.json_line(found)
        return
    tools = f" ({', '.join(found.tools)})" if found.tools else ""
    since = f" since {local(found.since, datetime.now(UTC))}" if found.since else ""
    output.line(f"{found.activity}{tools}{since}")


@remote(app)
def search(
    session: Session,
    words: Annotated[
        list[str], typer.Argument(help='Words, "phrases in quotes", or the beginning of a word with *.')
    ],
    provider: Annotated[str | None, typer.Option(help="Only of this program.")] = None,
    within: Annotated[str | None, typer.Option("--in", metavar="SESSION", help="Only in this one.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most so many; 0 for all.")] = 20,
) -> None:
    """Search in everything that was said and done, the newest first."""
    inside = None if within is None else session_id(session, within)
    found = session.client.sessions.search(" ".join(words), provider=provider, session_id=inside)
    for one in islice(found, limit or None):
        if session.json:
            output.json_line(one)
        else:
            _show_hit(one)


@recordings.callback()
def files() -> None:
    """See which sessions are written into which files."""


@remote(recordings, "list")
def list_recordings(
    session: Session,
    everything: Annotated[bool, typer.Option("--all", help="Also those that have stopped.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most so many; 0 for all.")] = 50,
) -> None:
    """List recordings, the newest first."""
    states = () if everything else ("active", "stopping")
    found = islice(session.client.recordings.list(state=states), limit or None)
    if session.json:
        for one in found:
            output.json_line(one)
        return
    rows = [
        (one.id, one.state, one.host, one.workspace or "-", one.written, one.path, one.problem or "")
        for one in found
    ]
    output.table(("ID", "STATE", "HOST", "WORKSPACE", "WRITTEN", "FILE", "PROBLEM"), rows)


def session_id(session: Session, text: str) -> str:
    """Return the id of a session that may be given by that of its program, or the beginning of it."""
    if text.startswith("cnv_"):
        return text
    head, _, rest = text.partition("/")
    ways: list[Filter] = [{"session": text}]
    if rest:
        ways.append({"provider": head, "session": rest})
    # Sub-agents' ids begin with that of their session: they are meant only where nothing else is.
    for subagents in (False, True):
        for way in ways:
            wanted: Filter = {**way, "subagents": subagents}
            found = list(islice(session.client.sessions.list(**wanted), _MOST))
            exact = [one for one in found if one.session_id == way["session"]]
            if len(exact or found) == 1:
                return (exact or found)[0].id
            if found:
                several = ", ".join(f"{one.provider}/{one.session_id}" for one in found[:6])
                raise typer.BadParameter(f"several sessions begin so: {several}", param_hint="SESSION")
    raise Failure(
        FailureKind.NOT_FOUND, f"there is no session {text}", remedy="minoots sessions list shows them."
    )


def _who(event: ConversationEvent) -> str:
    name = event.model if event.kind == "message.assistant" and event.model else None
    name = name or event.kind.value.removeprefix("message.")
    return name if event.ts is None else f"{name}  {event.ts.astimezone():%Y-%m-%d %H:%M:%S}"


def _said(event: ConversationEvent, *, tools: bool) -> str:
    if event.tool is not None:
        if not tools:
            return ""
        if event.kind == "tool.result":
            return event.tool.output or ""
        return f"{event.tool.name or 'tool'}: {event.tool.input}"
    if event.choice is not None:
        return f"{event.choice.question} {', '.join(event.choice.chosen)}"
    if event.kind == "usage":
        return ""
    told = [_INTERRUPTED] if event.details.get("interrupted") else []
    if event.injected:
        # What a program put in is left out, but not what is left of all that was said before.
        text = event.text if event.kind == "compaction" else event.details.get("command")
    else:
        text = event.text
    told += [str(text)] if text else []
    told += [f"({one.media_type}, {one.size} bytes)" for one in event.enclosed if not event.injected]
    return "\n".join(told)


def _branch(tree: SessionTree, depth: int) -> None:
    one = tree.session
    title = (one.title or one.agent_id or "")[:_SHORT]
    output.line(f"{'  ' * depth}{one.id}  {one.relation or one.provider}  {one.events} events  {title}")
    for child in tree.children:
        _branch(child, depth + 1)
    if tree.omitted:
        output.line(f"{'  ' * (depth + 1)}… and {tree.omitted} more")


def _show_hit(hit: SessionHit) -> None:
    when = "" if hit.ts is None else f"  {hit.ts.astimezone():%Y-%m-%d %H:%M}"
    output.line(f"{hit.session_id} [{hit.number}] {hit.kind}{when}  {(hit.title or '')[:_SHORT]}")
    output.line(f"    {' '.join(hit.snippet.split())}")

"""OpenCode's database: sessions in the tables of version 1, in those of version 2, or in both.

Version 2 leaves the older tables as they were when it took over, and goes on in its own. Its messages are
handed out in the shape of version 1, and its parts with the ids that they had there: what was read before is
known again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from minoots_activities.capture.compressed import Damaged

from .reader import Identity, digest
from .sqlite import Sqlite, json_of
from .store import Listed
from .values import as_text

Ask = Callable[..., list[dict[str, Any]]]

_SESSIONS: Final = {
    "session_v2": ("SELECT * FROM session_v2", "SELECT * FROM session_v2 WHERE id = ?"),
    "session": ("SELECT * FROM session", "SELECT * FROM session WHERE id = ?"),
}
"""Tables of sessions, the newer first: how to ask for all of them, and for one."""
_CHANGED: Final = {
    "session_message": (
        "PRAGMA table_info(session_message)",
        "SELECT session_id, digest(id, time_updated) AS rows FROM session_message GROUP BY session_id",
        "SELECT session_id, digest(id, data) AS rows FROM session_message GROUP BY session_id",
    ),
    "message": (
        "PRAGMA table_info(message)",
        "SELECT session_id, digest(id, time_updated) AS rows FROM message GROUP BY session_id",
        "SELECT session_id, digest(id, data) AS rows FROM message GROUP BY session_id",
    ),
    "part": (
        "PRAGMA table_info(part)",
        "SELECT m.session_id, digest(p.id, p.time_updated) AS rows "
        "FROM part p JOIN message m ON m.id = p.message_id GROUP BY m.session_id",
        "SELECT m.session_id, digest(p.id, p.data) AS rows "
        "FROM part p JOIN message m ON m.id = p.message_id GROUP BY m.session_id",
    ),
}
"""How to see that anything in a session has changed, in one pass over each table: newer ones say when each
row was changed; of older ones, everything is looked through."""
_ORDERED: Final = ("seq", "time_created")
_SILENT: Final = frozenset({"agent-switched", "idle"})


class SessionsInDatabase(Sqlite):
    """All sessions of one database."""

    def listed(self) -> Iterator[Listed]:
        """Yield every session, from the newer table where it is in both."""
        told: dict[Any, list[str]] = {}
        with self.rows() as ask:
            tables = _tables(ask, self._path.name)
            sessions: dict[Any, dict[str, Any]] = {}
            for table in [table for table in reversed(_SESSIONS) if table in tables]:
                sessions |= {row["id"]: row for row in ask(_SESSIONS[table][0])}
            newer = _with_messages(ask, tables)
            for table in [table for table in _CHANGED if table in tables]:
                columns, by_time, by_content = _CHANGED[table]
                dated = any(column["name"] == "time_updated" for column in ask(columns))
                for row in ask(by_time if dated else by_content):
                    # What is left of the older is no news.
                    if table == "session_message" or row["session_id"] not in newer:
                        told.setdefault(row["session_id"], []).append(f"{table} {row['rows']}")
        for name, row in sessions.items():
            mark = [row.get("time_updated"), *told.get(name, ())]
            yield Listed(_identity(row), digest("/".join(map(str, mark))))

    def records(self, session_id: str) -> Iterator[Mapping[str, Any]]:
        """Yield the session, then its messages, each with its parts."""
        with self.rows() as ask:
            tables = _tables(ask, self._path.name)
            asked = [one for table, (_, one) in _SESSIONS.items() if table in tables]
            sessions = [row for query in asked for row in ask(query, session_id)]
            parts = _parts(ask, tables, session_id)
            if session_id in _with_messages(ask, tables, session_id):
                rows = ask("SELECT * FROM session_message WHERE session_id = ?", session_id)
                rows.sort(key=_order)
                messages = [_newer(row, parts.get(row["id"], [])) for row in rows]
            elif "message" in tables:
                query = "SELECT * FROM message WHERE session_id = ? ORDER BY time_created, id"
                messages = [_older(row, parts.get(row["id"], [])) for row in ask(query, session_id)]
            else:
                messages = []
        yield from ({"session": row} for row in sessions[:1])
        yield from messages


def _tables(ask: Ask, name: str) -> frozenset[str]:
    """Return the tables that there are.

    Raises:
        Damaged: none of them holds sessions.
    """
    found = frozenset(row["name"] for row in ask("SELECT name FROM sqlite_master WHERE type = 'table'"))
    if not found & set(_SESSIONS):
        raise Damaged(f"{name} cannot be read: there is no table {' or '.join(_SESSIONS)}")
    return found


def _order(row: Mapping[str, Any]) -> tuple[float, float, str]:
    """Return by what messages of version 2 are ordered; the oldest have no number."""
    number, at = (value if isinstance(value := row.get(name), int | float) else 0 for name in _ORDERED)
    return number, at, str(row.get("id"))


def _with_messages(ask: Ask, tables: frozenset[str], session_id: str | None = None) -> set[Any]:
    """Return the sessions, or this one, of which version 2 holds messages."""
    if "session_message" not in tables:
        return set()
    if session_id is not None:
        query = "SELECT session_id FROM session_message WHERE session_id = ? LIMIT 1"
        return {row["session_id"] for row in ask(query, session_id)}
    return {row["session_id"] for row in ask("SELECT DISTINCT session_id FROM session_message")}


def _parts(ask: Ask, tables: frozenset[str], session_id: str) -> dict[Any, list[dict[str, Any]]]:
    """Return the parts of version 1, by their message."""
    found: dict[Any, list[dict[str, Any]]] = {}
    if {"message", "part"} <= tables:
        query = (
            "SELECT p.id, p.message_id, p.data FROM part p JOIN message m ON m.id = p.message_id "
            "WHERE m.session_id = ? ORDER BY p.rowid"
        )
        for row in ask(query, session_id):
            if isinstance(part := json_of(row["data"]), dict):
                found.setdefault(row["message_id"], []).append({"id": row["id"], **part})
    return found


def _older(row: Mapping[str, Any], parts: list[dict[str, Any]]) -> Mapping[str, Any]:
    info = json_of(row["data"])
    about = info if isinstance(info, dict) else {}
    return {
        "message": {"id": row["id"], "time": {"created": row.get("time_created")}, **about},
        "parts": parts,
    }


def _newer(row: Mapping[str, Any], before: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Return a message of version 2 as one of version 1."""
    data = json_of(row["data"])
    about = data if isinstance(data, dict) else {}
    kind = str(row.get("type") or about.get("type"))
    message = {
        "id": row["id"],
        "time": {"created": row.get("time_created")},
        **{name: about[name] for name in ("time", "tokens", "error") if isinstance(about.get(name), dict)},
        "role": kind if kind in ("user", "assistant") else "system",
    }
    if isinstance(model := about.get("model"), dict):
        message["modelID"] = model.get("id") or model.get("modelID")
    known = _Known(before)
    match kind:
        case "user" | "assistant":
            parts = [known.named(part) for part in _content(kind, about)]
        case "synthetic" | "system" | "skill":
            parts = [known.named({"type": "text", "text": about.get("text"), "origin": kind})]
        case "shell":
            said = f"$ {about.get('command') or ''}\n{as_text(about.get('output'))}".strip()
            parts = [known.named({"type": "text", "text": said, "origin": kind})]
        case "compaction" if about.get("status") in (None, "completed"):
            parts = [known.named({"type": "compaction", "text": about.get("summary")})]
        case "compaction" | "model-switched":
            parts = []
        case "location-switched":
            parts = []
            where = about.get("location")
            message["cwd"] = where.get("directory") if isinstance(where, dict) else None
        case other:
            parts = [] if other in _SILENT else [{"type": f"message {other}"}]
    return {"message": message, "parts": parts}


def _content(kind: str, about: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if kind == "user":
        if isinstance(text := about.get("text"), str) and text:
            yield {"type": "text", "text": text}
        files = about.get("files")
        for file in files if isinstance(files, list) else ():
            if isinstance(file, dict):
                yield {**file, "type": "file", "url": file.get("uri") or file.get("url") or file.get("data")}
        return
    content = about.get("content")
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            yield _tool(part) if part.get("type") == "tool" else part


def _tool(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call with what came of it as one text."""
    state = part.get("state")
    state = dict(state) if isinstance(state, dict) else {}
    # While it streams, what it is asked is not whole yet.
    if state.get("status") in ("streaming", "pending"):
        state.pop("input", None)
    if isinstance(content := state.get("content"), list):
        texts = [one.get("text") for one in content if isinstance(one, dict)]
        state["output"] = "\n".join(text for text in texts if isinstance(text, str))
    if isinstance(error := state.get("error"), dict):
        state["error"] = error.get("message") or error.get("type")
    return {**part, "callID": part.get("callID") or part.get("id"), "state": state}


class _Known:
    """The parts of a message as version 1 kept them, whose ids they go on to have."""

    def __init__(self, before: list[dict[str, Any]]) -> None:
        self._before: dict[str, list[dict[str, Any]]] = {}
        self._calls: dict[str, dict[str, Any]] = {}
        for part in before:
            if not part.get("synthetic") and not part.get("ignored"):
                self._before.setdefault(str(part.get("type")), []).append(part)
                self._calls[str(part.get("callID"))] = part
        self._count: dict[str, int] = {}

    def named(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """Return a part with the id and the time of the one that it was, or with an id of its place."""
        kind = str(part.get("type"))
        place = self._count[kind] = self._count.get(kind, -1) + 1
        same = self._before.get(kind, [])
        found = self._calls.get(str(part.get("callID"))) if kind == "tool" else None
        if found is None and place < len(same):
            found = same[place]
        if found is None:
            return {**part, "id": f"{kind} {place}"}
        return {**part, "id": found["id"], "time": found.get("time")}


def _identity(row: Mapping[str, Any]) -> Identity:
    name, parent, source = str(row["id"]), row.get("parent_id"), row.get("fork_session_id")
    if isinstance(parent, str) and parent:
        return Identity(name, parent, "subagent")
    if isinstance(source, str) and source and source != name:
        return Identity(name, source, "fork")
    return Identity(name)

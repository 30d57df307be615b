"""Lines of Codex for tests."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

FILE = PurePath(
    "/x/.codex/sessions/2026/07/01/rollout-2026-07-01T10-00-00-019d7e2f-0041-7310-951c-94020254dfc9.jsonl"
)
THREAD = "019d7e2f-0041-7310-951c-94020254dfc9"
OLDER, YOUNGER = "019d7d08-f1d2-78a1-ae52-df8e21f9b394", "019d7e2f-006a-78e0-8d88-fc868c230ea4"
AT = "2026-07-01T10:00:00.000Z"


def line(kind: str, **payload: Any) -> dict[str, Any]:
    return {"timestamp": AT, "type": kind, "payload": payload}


def event(kind: str, **payload: Any) -> dict[str, Any]:
    return line("event_msg", type=kind, **payload)


def said(role: str, text: str, **more: Any) -> dict[str, Any]:
    kind = "input_text" if role == "user" else "output_text"
    return line("response_item", type="message", role=role, content=[{"type": kind, "text": text}], **more)


META = line("session_meta", id=THREAD, cwd="/x", cli_version="0.118", source="cli")

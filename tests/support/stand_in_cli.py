"""A program that behaves like a coding agent's command line: resumes a session, appends to its transcript.

Called as the real ones are. What the prompt says decides what it does: ``silent`` takes no turn, ``crash``
ends with an error, ``hang`` never ends, ``slow`` speaks late, ``refused`` writes an error in the assistant's
name.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def main(kind: str, root: Path, arguments: list[str]) -> int:
    session = arguments[arguments.index({"codex": "resume"}.get(kind, "--resume")) + 1]
    short = session[:8]
    patterns = {
        "claude-code": f"*/{session}.jsonl",
        "codex": f"**/rollout-*-{session}.jsonl",
        "gemini-cli": f"*/chats/session-*-{short}.jsonl",
    }
    [transcript] = root.glob(patterns[kind])
    prompt = sys.stdin.read()
    (root / "seen.json").write_text(
        json.dumps(
            {"arguments": arguments, "prompt": prompt, "cwd": os.getcwd(), "environment": sorted(os.environ)}
        )
    )
    append(transcript, record(kind, "user", prompt))
    if "crash" in prompt:
        print("the model is not there", file=sys.stderr)
        return 3
    if "silent" in prompt:
        time.sleep(0.3)
        return 0
    if "hang" in prompt:
        time.sleep(600)
    if "slow" in prompt:
        time.sleep(1)
    if "refused" in prompt:
        append(transcript, record(kind, "assistant", "API Error") | {"isApiErrorMessage": True})
        return 1
    append(transcript, record(kind, "assistant", "done"))
    return 0


def record(kind: str, role: str, text: str, moment: datetime | None = None) -> dict[str, Any]:
    """One line of a transcript."""
    timestamp = (moment or datetime.now(UTC)).isoformat().replace("+00:00", "Z")
    if kind == "claude-code":
        return {"type": role, "timestamp": timestamp, "message": {"role": role, "content": text}}
    if kind == "codex":
        payload = {"type": "message", "role": role, "content": [{"type": "output_text", "text": text}]}
        return {"timestamp": timestamp, "type": "response_item", "payload": payload}
    return {"type": "gemini" if role == "assistant" else role, "timestamp": timestamp, "content": text}


def append(transcript: Path, line: dict[str, Any]) -> None:
    """Append one line, as the real ones do."""
    with transcript.open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))

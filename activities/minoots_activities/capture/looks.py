"""How a recording looks: what its workspace says when it begins. Pure but for where links lead."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from minoots_platform.writers import Look

from .filenames import slug
from .gate import Target
from .workspaces import Workspace


def look_of(
    flags: Mapping[str, bool],
    workspace: Workspace,
    target: Target,
    conversation: sa.Row[Any],
    *,
    recording_id: str,
    title: str,
    created: datetime,
) -> Look:
    """Return how a recording is to look from its beginning to its end."""
    config = workspace.config
    short = conversation.session_id.rpartition("/")[2][:8]
    front = config.front_matter
    return Look(
        commentary=flags["writerIncludeCommentary"],
        thinking=flags["writerIncludeThinking"],
        tool_calls=flags["writerIncludeToolCalls"],
        tool_results=flags["writerIncludeToolResults"],
        decisions=flags["writerIncludeDecisionPrompt"],
        decision_options=flags["writerIncludeDecisionOptions"],
        decision_selection=flags["writerIncludeDecisionSelection"],
        system_events=flags["captureIncludeSystemEvents"],
        italic_user=flags["writerItalicizeUserMessages"],
        relative_links=flags["writerRelativizeLocalLinks"],
        wikilinks=flags["writerUseDendronStyleWikilinks"],
        username=config.username,
        timezone=config.timezone,
        front_matter=front.include,
        updated=front.updated,
        participant_username=front.participant_username,
        session_ids=front.session_ids,
        workspace_ids=front.workspace_ids,
        recording_ids=front.recording_ids,
        event_kinds=front.event_kinds,
        tags=config.tags,
        title=title or "Conversation",
        id=f"{slug(title, 24) or 'conversation'}-{short}",
        created=created,
        session_id=conversation.session_id,
        agent_id=conversation.agent_id,
        workspace_id=config.id,
        recording_id=recording_id,
        root=os.path.realpath(workspace.root),
        folder=str(target.path.parent),
        beside=f"{_short(Path(target.name).stem)}.files",
    )


def _short(name: str) -> str:
    """Return as much of a name as leaves room for an ending."""
    return os.fsencode(name)[:200].decode(errors="ignore")

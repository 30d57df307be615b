"""Tools of agents on the wire: which there are, and the rules under which an agent may use one."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from .base import Part
from .sandboxes import FilePattern, RunTime

MAX_CALLS: Final = 5000
"""Calls of tools that one agent may make."""


class AgentTool(StrEnum):
    """What an agent can do."""

    READ_FILE = "read_file"
    WRITE_FILE = "write_file"
    EDIT_FILE = "edit_file"
    """Replaces a text that a file has once by another."""
    LIST_FILES = "list_files"
    SEARCH_FILES = "search_files"
    RUN = "run"
    """Runs a command of the shell in the sandbox."""
    HTTP = "http"
    """Sends a request to a host of the job's ``network``: it leaves the sandbox."""
    CONTEXT = "context"
    """Searches what was captured of sessions, and documents, and reads on there. Never there by itself."""
    SLEEP = "sleep"
    """Waits, for hours if need be and through every crash; a message ends it."""
    SET_TIMER = "set_timer"
    """Sets a timer of the tenant's, which calls a webhook or commands an agent: it leaves the sandbox."""


class Approval(StrEnum):
    """Whether somebody has to say yes before a tool is used."""

    NEVER = "never"
    ALWAYS = "always"


class ToolRule(Part):
    """A tool that an agent may use, and how."""

    name: AgentTool
    approval: Approval | None = None
    """Default: ``never`` for what stays in the sandbox, ``always`` for what leaves it."""
    max_calls: Annotated[int, Field(ge=1, le=MAX_CALLS)] | None = None
    """How often; default: as often as the job allows calls at all."""
    time: RunTime | None = None
    """The longest that one call may take: of ``run``, ``http`` and ``sleep``. Default of ``run``:
    ``limits.time``; of ``http``: a minute."""
    paths: Annotated[tuple[FilePattern, ...], Field(max_length=64)] = ()
    """Of tools for files: those that it may touch; default: all in the working folder."""

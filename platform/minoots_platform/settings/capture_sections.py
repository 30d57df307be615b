"""The settings of what is taken in: transcripts of agents, recordings of them, files and texts.

Owns names and defaults; the descriptions here are what the reference documentation prints.
"""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from minoots_platform.ids import TENANT_PATTERN

from .kinds import LocalPath, Text, Told, local_path
from .sections import Section, require_known


class CaptureSettings(Section):
    """Transcripts of agents on this machine, and recordings of them."""

    enabled: bool = Field(False, description="Whether `minoots dev` looks after transcripts, too.")
    tenant: Text = Field("dev", description="Whose conversations those of this machine are.")
    host: Text | None = Field(None, description="Name of this machine; default: its host name.")
    providers: tuple[Text, ...] = Field(
        (), max_length=64, description="Programs whose transcripts are read; empty: all that are known."
    )
    roots: tuple[Text, ...] = Field(
        (),
        max_length=64,
        description="Folders of transcripts instead of a program's usual ones: `claude=/srv/claude`.",
    )
    registry: LocalPath = Field(
        Path("~/.minoots/workspaces.json"),
        description="File with the workspaces of this user; `minoots workspace` writes it.",
    )
    write_roots: tuple[LocalPath, ...] = Field(
        (), max_length=64, description="Folders below which recordings may be written, beside workspaces."
    )
    notify: tuple[Told, ...] = Field(
        (), max_length=16, description="Who is told of commands in chats that are refused: `person:ada`."
    )
    redaction: Literal["redact", "detect", "off"] = Field(
        "redact", description="What is done about secrets in transcripts before anything is kept."
    )
    redaction_disabled: tuple[Text, ...] = Field(
        (), max_length=64, description="Rules of redaction that are not used."
    )
    redaction_allowed: tuple[Text, ...] = Field(
        (), max_length=256, description="Texts that are no secrets; between slashes, a pattern."
    )
    command_patience: float = Field(
        86_400.0,
        ge=1,
        le=2_592_000,
        description="Seconds that a command in a chat waits for a workspace that cannot be read, until it is "
        "refused.",
    )
    settle: float = Field(
        0.05, ge=0.01, le=10, description="Seconds without a change before a file is read on."
    )
    rescan: float = Field(
        2.0, ge=0.1, le=300, description="Seconds between looks at all files: some appends raise no event."
    )
    idle: float = Field(
        600.0, ge=1, le=86_400, description="Seconds after which the workflow of a quiet conversation ends."
    )

    @field_validator("tenant")
    @classmethod
    def _as_keys_have_it(cls, value: str) -> str:
        # Nobody could have a key that reads what is kept for another.
        if not re.match(TENANT_PATTERN, value):
            raise ValueError(f"lower-case letters, digits, - and _, at most 63, as in keys; got {value!r}")
        return value

    @field_validator("providers")
    @classmethod
    def _known_programs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        require_known("programs whose transcripts can be read", value, programs())
        return value

    @field_validator("roots")
    @classmethod
    def _program_and_folder(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            program, _, folder = one.partition("=")
            if not local_path(Path(folder)).is_absolute():
                raise ValueError(f"a program and an absolute folder, such as claude=/srv/claude; got {one!r}")
            require_known("programs whose transcripts can be read", (program,), programs())
        return value

    @field_validator("host")
    @classmethod
    def _a_name(cls, value: str | None) -> str | None:
        if value is not None and not re.search(r"[A-Za-z0-9]", value):
            raise ValueError(f"a name with letters or digits, such as desk-1; got {value!r}")
        return value

    @model_validator(mode="after")
    def _roots_of_programs_that_are_read(self) -> Self:
        for one in self.roots:
            program = one.partition("=")[0]
            if self.providers and program not in self.providers:
                raise ValueError(
                    f"capture.roots only for programs of capture.providers; {one!r} would never be read: "
                    f"name {program} there, too, or leave it out here"
                )
        return self

    @field_validator("write_roots")
    @classmethod
    def _absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        for one in value:
            if not one.is_absolute():
                raise ValueError(f"absolute folders; got {str(one)!r}")
        return value

    @field_validator("redaction_disabled")
    @classmethod
    def _known_rules(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            # Imported only here: most settings name none.
            from minoots_platform.redaction import RULES

            require_known("rules of redaction", value, frozenset(rule.id for rule in RULES))
        return value

    @field_validator("redaction_allowed")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if len(one) > 2 and one.startswith("/") and one.endswith("/"):
                try:
                    re.compile(one[1:-1])
                except re.error as error:
                    raise ValueError(f"regular expressions between slashes; {one!r}: {error}") from error
        return value


class IngestSettings(Section):
    """Files and texts that are sent to be taken in."""

    max_request_bytes: int = Field(
        67_108_864, ge=1024, le=1_073_741_824, description="Largest request with files, in bytes."
    )
    max_file_bytes: int = Field(
        33_554_432, ge=1024, le=1_073_741_824, description="Largest single file, in bytes."
    )
    max_files: int = Field(200, ge=1, le=1000, description="Files in one request.")
    max_waiting_bytes: int = Field(
        1_073_741_824,
        ge=1024,
        le=1_099_511_627_776,
        description="Bytes of one tenant that may wait to be read; beyond, requests are throttled.",
    )
    chunk_size: int = Field(
        2000, ge=200, le=100_000, description="Characters of a chunk at most; a change has files read anew."
    )
    at_once: int = Field(4, ge=1, le=100, description="Files of one ingest that are taken in at a time.")
    processes: int = Field(2, ge=1, le=64, description="Files that one worker reads at a time.")
    read_seconds: float = Field(
        120.0, ge=1, le=600, description="Seconds that reading one file may take before it is given up."
    )
    read_megabytes: int = Field(
        1024, ge=256, le=65_536, description="Megabytes of memory that reading one file may take."
    )


def programs() -> frozenset[str]:
    """Return the programs whose transcripts can be read here, without loading a reader."""
    return frozenset(point.name for point in entry_points(group="minoots.transcripts"))

"""What a sandbox's workflow may ask of the world. Each class is served where its machine is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from minoots_workflows.pacing import Subject

from .contracts import SandboxAnswer, SandboxCall, SandboxHeld, SandboxLook, SandboxSeen, SandboxWatched


class SandboxesPort(ABC):
    """Sandboxes in the records."""

    @activity.defn(name="sandboxes.next")
    @abstractmethod
    async def next(self, seen: SandboxSeen) -> SandboxLook:
        """Note what has happened to a sandbox, and tell what is next for it."""


class OpeningPort(ABC):
    """Opening sandboxes, on any worker that has room."""

    @activity.defn(name="sandboxes.open")
    @abstractmethod
    async def open(self, sandbox: Subject) -> None:
        """Open a sandbox and note which worker holds it."""


class HoldingPort(ABC):
    """Sandboxes that one worker holds, on a queue of its own."""

    @activity.defn(name="sandboxes.hold")
    @abstractmethod
    async def hold(self, held: SandboxHeld) -> SandboxWatched:
        """Return when the sandbox is gone; until then, give signs of life."""

    @activity.defn(name="sandboxes.call")
    @abstractmethod
    async def call(self, call: SandboxCall) -> SandboxAnswer:
        """Do what is asked of a sandbox; what goes wrong is an answer, too."""

    @activity.defn(name="sandboxes.close")
    @abstractmethod
    async def close(self, held: SandboxHeld) -> None:
        """End a sandbox; nothing of it is left when this returns."""

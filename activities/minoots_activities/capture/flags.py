"""Feature flags of workspaces, asked through OpenFeature: their files answer, else the defaults hold."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

DEFAULTS: Final[Mapping[str, bool]] = {
    "writerIncludeCommentary": True,
    "writerIncludeThinking": True,
    "writerIncludeToolCalls": False,
    "writerIncludeToolResults": False,
    "writerIncludeDecisionPrompt": True,
    "writerIncludeDecisionOptions": True,
    "writerIncludeDecisionSelection": True,
    "writerItalicizeUserMessages": False,
    "writerRelativizeLocalLinks": True,
    "writerUseDendronStyleWikilinks": False,
    "captureIncludeSystemEvents": False,
}
"""Every flag and what holds without an answer."""

_domains: Final = itertools.count()


class WorkspaceFlags:
    """Asks for flags. One for each process; a workspace's own answers come as the context of the question."""

    def __init__(self) -> None:
        self._domain = f"minoots-capture-{next(_domains)}"
        api.set_provider_and_wait(InMemoryProvider({name: _flag(name) for name in DEFAULTS}), self._domain)
        self._client = api.get_client(self._domain)

    def of(self, answers: Mapping[str, bool], *, provider: str, session_id: str) -> dict[str, bool]:
        """Return the value of every flag for a conversation of a provider."""
        context = EvaluationContext(
            targeting_key=session_id, attributes={"provider": provider, "flags": dict(answers)}
        )
        return {
            name: self._client.get_boolean_value(name, default, context) for name, default in DEFAULTS.items()
        }


def _flag(name: str) -> InMemoryFlag[bool]:
    from openfeature.flag_evaluation import FlagResolutionDetails, Reason

    def answer(flag: InMemoryFlag[bool], context: EvaluationContext) -> FlagResolutionDetails[bool]:
        answers = context.attributes.get("flags")
        given = answers.get(name) if isinstance(answers, Mapping) else None
        value = given if isinstance(given, bool) else DEFAULTS[name]
        reason = Reason.STATIC if given is None else Reason.TARGETING_MATCH
        return FlagResolutionDetails(value=value, reason=reason, variant=str(value).lower())

    variants = {"true": True, "false": False}
    return InMemoryFlag(str(DEFAULTS[name]).lower(), variants, context_evaluator=answer)

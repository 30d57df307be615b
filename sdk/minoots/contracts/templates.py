"""Templates for the bodies of webhooks."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from .base import Labels, Matching, Name, Part, Request, View
from .payloads import Metadata, Payload

MAX_TEMPLATE: Final = 16_384
CONTENT_TYPE_PATTERN: Final = r"^[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,100}(; ?charset=utf-8)?$"


class BodyTemplate(Part):
    """A body of your own, in place of the CloudEvent: a Liquid template, filled in when the timer fires."""

    template: Annotated[str, Field(min_length=1, max_length=MAX_TEMPLATE)]
    """Sees ``timer``, ``payload``, ``occurrence``, ``plan``, ``acknowledge_url``, and all as ``event``."""
    content_type: Annotated[
        str, Matching(CONTENT_TYPE_PATTERN, "a media type, such as application/json or text/plain")
    ] = "application/json"

    @property
    def is_json(self) -> bool:
        """Whether what it makes has to be JSON."""
        kind = self.content_type.partition(";")[0]
        return kind == "application/json" or kind.endswith("+json")


class TemplatePreview(Request):
    """A template to look at, and what to fill it in with."""

    body: BodyTemplate
    name: Name = "preview"
    payload: Payload = None
    labels: Labels = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)
    recurs: bool = False
    """As an occurrence of a schedule: there is ``occurrence``."""
    plan: bool = False
    """As a node of a plan: there is ``plan``."""
    acknowledge: bool = False
    """As what can be acknowledged: there is ``acknowledge_url``."""


class RenderedBody(View):
    """What a webhook would carry."""

    content_type: str
    body: str

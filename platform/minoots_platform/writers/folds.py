"""What folds away in a text: tags that would hide, or cut short, what stands behind the text. Pure.

A `<details>` that a message opens and does not close folds away every message after it; a `</details>` in
what is folded away ends that too early. Such tags become words. In code they are words already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final

from .closing import Blocks

_TAG: Final = re.compile(r"(?i)<(?P<close>/?)(?P<name>details|summary)(?![\w-])")
_SURE: Final = re.compile(r"(?i)(?<!\\)<(?:/(?:details|summary)|summary|details(?: open(?:=\"[a-z]*\")?)?)>")
"""The tags of which everybody sees that they are some."""
_SPAN: Final = re.compile(r"(?<![\\`])(?P<run>`+)(?!`).+?(?<!`)(?P=run)(?!`)")
_WORD: Final = r"&lt;\g<close>\g<name>"
_PASSES: Final = 8
_LONGEST_LINE: Final = 10_000
"""Characters of a line in which code is looked for: to look takes more than in proportion."""


class _Part(Enum):
    """What tags are in a part of a text."""

    LIVE = "live"
    CODE = "code"
    DOUBTFUL = "doubtful"


def unfolded(text: str) -> str:
    """Return ``text`` with tags that fold as words; what is in code is left as it is.

    In doubt they are words: a tag that is made a word in code is ugly, one left alive hides what was said.
    """
    if not _TAG.search(text):
        return text
    for _ in range(_PASSES):
        told = "".join(one if part is _Part.CODE else _TAG.sub(_WORD, one) for part, one in _parts(text))
        if told == text:
            return text
        text = told  # a line that is HTML no more may begin code, or end it
    return _TAG.sub(_WORD, text)


def folded_whole(text: str) -> str:
    """Return ``text`` as it is where it closes whatever it folds away, and else with those tags as words."""
    if not _TAG.search(text):
        return text
    if "<!" in text or "<?" in text:
        return unfolded(text)  # what stands in a comment closes nothing
    open_now: list[str] = []
    for part, one in _parts(text):
        for tag in () if part is _Part.CODE else _TAG.finditer(one):
            if part is _Part.DOUBTFUL or not _SURE.match(one, tag.start()):
                return unfolded(text)
            name = tag["name"].lower()
            if not tag["close"]:
                open_now.append(name)
            elif not open_now or open_now.pop() != name:
                return unfolded(text)
    return unfolded(text) if open_now else text


def _parts(text: str) -> Iterator[tuple[_Part, str]]:
    """Return the parts of a text in their order, and what tags are in each."""
    blocks = Blocks()
    odd = False
    """Whether a run of backticks has begun code that may go on in the next line."""
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        before = blocks.open
        speech = blocks.feed(line.removesuffix("\n").expandtabs(4))
        after = blocks.open
        if before is not None and before is after and before.closer[:1] in ("`", "~"):
            yield _Part.CODE, line
            continue
        if not line.strip():
            odd = False
        if before is not None or after is not None:
            # HTML, in which backticks mean nothing. It ends itself, as a script does, or at a blank line.
            plain = all(block is None or not block.closer for block in (before, after))
            yield _Part.LIVE if plain else _Part.DOUBTFUL, line
            continue
        odd = odd or len(line) > _LONGEST_LINE
        outside = _Part.LIVE if speech and not odd else _Part.DOUBTFUL
        at = 0
        for span in () if odd else _SPAN.finditer(line):
            yield outside, line[at : span.start()]
            yield _Part.CODE, span.group()
            at = span.end()
        yield outside, line[at:]
        odd = odd or "`" in _SPAN.sub("", line)

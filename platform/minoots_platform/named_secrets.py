"""Secrets that are known by their names only: ``password: …``, ``"apiKey": "…"``, ``--token …``. Pure.

Owns which names mean a secret, and how a value is given to one; `secret_values` says whether it is one. Every
look costs the same at most, so that no text takes long.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from .secret_values import Given, is_secret

WORDS_RULE: Final = "generic-password-assignment"
KEYS_RULE: Final = "generic-api-key-assignment"

PASSWORD_WORDS: Final = ("password", "passwd", "passphrase", "passwort", "pwd", "secret")
_SHORT: Final = ("_pass", "-pass")
"""At the end of a name, as in ``DB_PASS``: by itself it is a word."""
API_KEY_WORDS: Final = (
    *(
        f"{first}{dash}{second}"
        for first, second in (
            *(("api", "key"), ("access", "key"), ("account", "key"), ("private", "key"), ("signing", "key")),
            *(("encryption", "key"), ("master", "key"), ("access", "token"), ("refresh", "token")),
            *(("auth", "token"), ("session", "token"), ("bearer", "token"), ("bot", "token")),
        )
        for dash in ("", "_", "-")
    ),
    *_SHORT,
    "api key",
    "authorization",
    "token",
)
_WEAK: Final = "token"
"""So much is called so that its value has to look like one."""

_LOOK: Final = 300
"""Characters of a value that are looked at to tell what it is."""
_SUFFIX: Final = r"(?:[_-]?(?:access[_-]?key|key(?:[_-]?base)?|value|plain(?:text)?|token|[0-9]{1,2}))?"
_NAME: Final = re.compile(
    rf"(?i)(?:^|.*?[^a-z]|.*?[a-z](?=[A-Z]))?(?:{'|'.join((*PASSWORD_WORDS, *API_KEY_WORDS))}){_SUFFIX}"
)
_ASSIGNED: Final = re.compile(
    rf"""(?ix){_SUFFIX} \\{{0,3}} ["'`]? \]? [ \t]{{0,8}}
    (?P<sep> => | := | :(?![:=/]) | =(?![=>~]) ) (?P<space>[ \t]{{0,8}})
    (?: [a-z_][\w.\[\] |?]{{0,40}} [ ]=[ ](?=[rbfu]{{0,2}}["']) )?
    (?: \[ [ \t]{{0,8}} (?=\\{{0,3}}["']) )?"""
)
_BELOW: Final = re.compile(
    rf"(?i){_SUFFIX}[\"']?:[ \t]{{0,8}}(?P<block>[|>][+-]?)?[ \t]{{0,8}}\r?\n(?P<indent>[ \t]*)"
)
_VALUE_OF: Final = re.compile(
    rf"""(?ix){_SUFFIX} \\{{0,3}} ["']? [ \t]{{0,8}} ,? [ \t]{{0,8}}
    (?: (?: \\[nr] | \r?\n ){{1,2}} [ \t]{{0,40}} )?
    \\{{0,3}} ["']? value \\{{0,3}} ["']? [ \t]{{0,8}} : [ \t]{{0,8}}"""
)
"""Behind a name that is a value itself: ``name: DB_PASSWORD``, then ``value: …``."""
_BEFORE_NAME: Final = re.compile(
    r"""(?i)(?:name|key)\\{0,3}["']?[ \t]{0,8}:[ \t]{0,8}\\{0,3}["']?[\w.-]{0,60}$"""
)
_ELEMENT: Final = re.compile(rf"(?i){_SUFFIX}>(?P<value>[^<>\s]{{1,{_LOOK}}})</")
_OPTION: Final = re.compile(rf"(?i){_SUFFIX}(?:[\"'],\s{{0,8}}(?=[\"'])|[ \t]+)")
_BEFORE_OPTION: Final = re.compile(r"(?i)(?:^|[\s\"'=,\[(])--?[\w.-]{0,40}$")
_OPTION_NAME: Final = re.compile(r"--?[A-Za-z][\w.-]{0,60}")
_QUOTE: Final = re.compile(r"""[rbfuRBFU]{0,2}(?P<quote>\"{3}|'{3}|\\{0,3}["'`])""")
_INNER: Final = {quote: re.compile(rf"(?s)(?:[^{quote}\\\r\n]|\\.)*") for quote in "\"'`"}
_BARE: Final = re.compile(r"""(?:(?!\\[nrt])[^\s"'`<>,;&]|[,;&](?![\s\w-]*[=:]|\s|$))+""")
_BELOW_BARE: Final = re.compile(r"""[^\s#"'`-][^\s"'`]*(?<!:)(?=[ \t]*(?:\r?\n|$))""")
_ALONE: Final = re.compile(
    r"""(?=[^\s]*[0-9])(?=[^\s]*[A-Za-z])[^\s"'`<>(){}\[\]:=,;/]{6,}(?=[ \t]*(?:\r?\n|$))"""
)
_OPENS: Final = {")": "(", "]": "[", "}": "{"}
_CONFIGURED: Final = re.compile(r"(?:^|[\n?&;]|\b(?:export|set|ENV|env|-e)[ \t])[ \t]*[A-Za-z0-9_. -]{0,60}$")
_ENDS: Final = re.compile(r"[ \t]*(?:[\r\n&;]|$)")


@dataclass(frozen=True)
class Secret:
    """Where in a text a value stands that its name says is secret."""

    rule: str
    begin: int
    end: int


def rule_of(word: str) -> str:
    """Return the rule that a word of a name belongs to."""
    return WORDS_RULE if word in PASSWORD_WORDS else KEYS_RULE


def given_to(word: str, value: str) -> bool:
    """Tell whether the value of a field of this name is a secret."""
    return _is_secret(value[:_LOOK], word, Given.QUOTED)


@lru_cache(maxsize=4096)
def named(name: str) -> str | None:
    """Return the word for which a name means a secret; ``None`` for one that does not."""
    if len(name) > 100 or _NAME.fullmatch(name) is None:
        return None
    lowered = name.lower()
    words = [word for word in (*PASSWORD_WORDS, *API_KEY_WORDS) if word in lowered]
    return max(words, key=len, default=None)


def named_of_many(name: str) -> str | None:
    """Return the word for which the name of a list means secrets, as ``passwords``."""
    # Secrets in the plural are told by their names, more often than not.
    return named(name) or (
        named(name[:-1]) if name[-1:] in "sS" and not name.lower().endswith("secrets") else None
    )


def option(text: str) -> str | None:
    """Return the word for which the next argument is a secret, as behind ``--password``."""
    return named(text.lstrip("-")) if _OPTION_NAME.fullmatch(text) else None


def value_behind(text: str, begin: int, end: int, word: str) -> Secret | None:
    """Return the secret that is given to the name whose ``word`` stands between ``begin`` and ``end``."""
    if word == "pwd" and begin and text[begin - 1].isalpha() and text[begin - 1].islower():
        return None  # a part of another word
    rule = rule_of(word)
    if (below := _BELOW.match(text, end)) is not None:
        span = _below(text, below, word)
    elif (value := _VALUE_OF.match(text, end)) is not None and _BEFORE_NAME.search(
        text[max(0, begin - 80) : begin]
    ):
        span = _quoted(text, value.end(), word) or _bare(text, begin, value.end(), word, Given.LOOSE)
    elif (found := _ASSIGNED.match(text, end)) is not None:
        at = found.end()
        tight = found["sep"] == "=" and not found["space"] and text[found.start("sep") - 1] not in " \t"
        span = _quoted(text, at, word) or _bare(text, begin, at, word, Given.TIGHT if tight else Given.LOOSE)
    elif (element := _ELEMENT.match(text, end)) is not None and begin and text[begin - 1] not in " \t":
        span = element.span("value") if _is_secret(element["value"], word, Given.QUOTED) else None
    elif (behind := _OPTION.match(text, end)) is not None and _BEFORE_OPTION.search(
        text[max(0, begin - 50) : begin]
    ):
        span = _quoted(text, behind.end(), word) or _bare(text, begin, behind.end(), word, Given.LOOSE)
    else:
        return None
    return None if span is None else Secret(rule, *span)


def _is_secret(value: str, word: str, given: Given) -> bool:
    return is_secret(value, given, weak=word == _WEAK, key=word in API_KEY_WORDS)


def _quoted(text: str, at: int, word: str) -> tuple[int, int] | None:
    opening = _QUOTE.match(text, at)
    if opening is None:
        return None
    quote, begin = opening["quote"], opening.end()
    if len(quote) == 1:
        inner = _INNER[quote]
        found = inner.match(text, begin, begin + _LOOK)
        end = begin if found is None else found.end()
        if text[end : end + 1] in ("\r", "\n"):  # over several lines, if it ends soon
            closing = text.find(quote, end, end + 4_000)
            if closing < 0 or re.search(r"\n[ \t]*\r?\n", text[begin:closing]):
                closing = end
            end = closing
    else:
        end = text.find(quote, begin, begin + 20_000)
        if end < 0:
            end = begin + len(text[begin : begin + _LOOK].split("\n")[0])
    value = text[begin : min(end, begin + _LOOK)]
    filled_in = "{" in value and "f" in opening.group().lower()
    if filled_in or not _is_secret(value, word, Given.QUOTED):
        return None
    if len(quote) == 1 and end == begin + _LOOK:
        whole = _INNER[quote].match(text, begin)
        end = end if whole is None else whole.end()
    return begin, end


def _bare(text: str, begin: int, at: int, word: str, given: Given) -> tuple[int, int] | None:
    found = _BARE.match(text, at, at + _LOOK)
    if found is None:
        return None
    value = found.group()
    # What ends a sentence, and brackets of something around it.
    kept = value.rstrip(".,;:!?") if given is Given.LOOSE else value
    while (
        kept
        and kept[-1] in ")]}"
        and kept.count(kept[-1]) > kept.count({")": "(", "]": "[", "}": "{"}[kept[-1]])
    ):
        kept = kept[:-1]
    value = kept
    if given is Given.TIGHT and value.rstrip(",;:.)]}").isalpha():
        # Words are values only in settings; elsewhere they are code.
        before = text[max(0, begin - 80) : begin]
        if not _CONFIGURED.search(before) or not _ENDS.match(text, at + len(value)):
            return None
    if not _is_secret(value, word, given):
        return None
    if found.end() == at + _LOOK:
        whole = _BARE.match(text, at)
        return at, whole.end() if whole is not None else found.end()
    return at, at + len(value)


def _below(text: str, found: re.Match[str], word: str) -> tuple[int, int] | None:
    """Return a value that stands on the line below its name."""
    at = found.end()
    if not found["indent"]:
        # Whatever comes next may stand there.
        bare = None if found["block"] else _ALONE.match(text, at, at + _LOOK)
        return bare.span() if bare is not None and _is_secret(bare.group(), word, Given.LOOSE) else None
    if found["block"]:
        lines = re.compile(rf"[^\r\n]+(?:\r?\n{re.escape(found['indent'])}[^\r\n]+)*")
        shown = lines.match(text, at, at + _LOOK)
        if shown is None or not _is_secret(shown.group(), word, Given.QUOTED):
            return None
        whole = lines.match(text, at)
        return None if whole is None else whole.span()
    if text.startswith(('"""', "'''"), at):
        return None  # what a class or function is for
    quoted = _quoted(text, at, word)
    if quoted is not None:
        return quoted
    bare = _BELOW_BARE.match(text, at, at + _LOOK)
    if bare is None or not _is_secret(bare.group(), word, Given.LOOSE):
        return None
    return bare.span()

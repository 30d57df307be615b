"""Secrets in transcripts: found by rules and taken out before anything is kept. Pure.

Rules are tried only where one of their words stands. What only looks like a secret by its name
(``password=``) has to look like one by its letters, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ahocorasick_rs import AhoCorasick, Implementation

from minoots.contracts.conversations import ConversationEvent

from .named_secrets import (
    PASSWORD_WORDS,
    given_to,
    named,
    named_of_many,
    option,
    rule_of,
    value_behind,
)
from .secret_rules import NEVER, RULES, Rule
from .secret_values import PLACEHOLDER, entropy

_Hit = tuple[int, int]
"""Where a word of a rule begins and ends in a text."""

_NAMES: Final = frozenset({"name", "Name", "key", "Key"})
_VALUES: Final = frozenset({"value", "Value"})
"""Fields of which one names what stands in the other."""

Mode = Literal["redact", "detect", "off"]


__all__ = ["RULES", "Found", "Mode", "Policy", "Redactor", "Rule"]


@dataclass(frozen=True)
class Policy:
    """What is done about secrets.

    Attributes:
        mode: ``redact`` takes them out, ``detect`` only tells of them, ``off`` does not look.
        disabled: ids of rules that are not used.
        allowed: texts that are no secrets; between slashes, a pattern.
    """

    mode: Mode = "redact"
    disabled: frozenset[str] = frozenset()
    allowed: tuple[str, ...] = ()


@dataclass
class Found:
    """How many secrets of which kind were found."""

    counts: Counter[str] = field(default_factory=Counter)


class Redactor:
    """Applies a policy."""

    def __init__(self, policy: Policy, rules: Iterable[Rule] = RULES) -> None:
        self._policy = policy
        self._rules = [rule for rule in rules if rule.id not in policy.disabled]
        # All words in one pass: searching for each by itself took most of the time.
        self._of_word = [number for number, rule in enumerate(self._rules) for _ in rule.words]
        words = [word for rule in self._rules for word in rule.words]
        self._words = AhoCorasick(words, implementation=Implementation.DFA) if words else None
        self._named_rules = [number for number, rule in enumerate(self._rules) if rule.pattern is NEVER]
        self._literals = frozenset(one for one in policy.allowed if not _is_pattern(one))
        self._patterns = [re.compile(one[1:-1]) for one in policy.allowed if _is_pattern(one)]

    def event(self, event: ConversationEvent, found: Found) -> ConversationEvent:
        """Return the event without the secrets in it; the very same where there are none.

        Raises:
            Exception: whatever a rule raises; the event must not be kept then.
        """
        if self._policy.mode == "off":
            return event
        changes: dict[str, Any] = {}
        if event.text is not None:
            changes["text"] = self.text(event.text, found)
        if event.model is not None:
            changes["model"] = self.text(event.model, found)
        if event.tool is not None:
            tool = event.tool
            inner = {"input": self.value(tool.input, found)}
            if tool.name is not None:
                inner["name"] = self.text(tool.name, found)
            if tool.output is not None:
                inner["output"] = self.text(tool.output, found)
            changes["tool"] = tool.model_copy(update=inner)
        if event.choice is not None:
            choice = event.choice
            told = {
                "key": self.text(choice.key, found),
                "question": self.text(choice.question, found),
                "options": tuple(self.text(one, found) for one in choice.options),
                "chosen": tuple(self.text(one, found) for one in choice.chosen),
            }
            changes["choice"] = choice.model_copy(update=told)
        if event.enclosed:
            named = (self.text(one.media_type, found) for one in event.enclosed)
            changes["enclosed"] = tuple(
                one.model_copy(update={"media_type": name})
                for one, name in zip(event.enclosed, named, strict=True)
            )
        if event.details:
            changes["details"] = self.value(dict(event.details), found)
        return event.model_copy(update=changes) if self._policy.mode == "redact" and changes else event

    def value(self, value: Any, found: Found) -> Any:
        """Return JSON without the secrets in its texts."""
        if isinstance(value, str):
            return self.text(value, found)
        if isinstance(value, Mapping):
            told = {self._key(key, found): self._field(str(key), one, found) for key, one in value.items()}
            return self._pair(value, told, found)
        if isinstance(value, list | tuple):
            return self._items(value, found)
        return value

    def text(self, text: str, found: Found) -> str:
        """Return a text without the secrets in it."""
        hits = self._hits(text)
        for number in sorted(hits):
            rule = self._rules[number]
            if rule.pattern is NEVER:
                continue
            changed = self._without(rule, text, hits.get(number, ()), found)
            if changed is not text:
                # What is behind it stands somewhere else now, and some of it may be gone.
                text, hits = changed, self._hits(changed)
        names = [one for number in self._named_rules if number in hits for one in hits[number]]
        return self._named(text, names, found) if names else text

    def _hits(self, text: str) -> dict[int, list[_Hit]]:
        """Return where words of rules stand, by the number of the rule."""
        hits: dict[int, list[_Hit]] = {}
        if self._words is not None:
            for word, begin, end in self._words.find_matches_as_indexes(_lowered(text), overlapping=True):
                hits.setdefault(self._of_word[word], []).append((begin, end))
        return hits

    def _without(self, rule: Rule, text: str, hits: Sequence[_Hit], found: Found) -> str:
        """Return a text without what a rule finds; the very same where it finds nothing."""
        replacement = self._taken_out(rule, found)
        if rule.before is None:
            changed = rule.pattern.sub(replacement, text)
            return text if changed == text else changed
        kept, at = [], 0
        for begin, _ in hits:
            for start in range(max(at, begin - rule.before), begin + 1):
                match = rule.pattern.match(text, start)
                if match is not None:
                    kept += [text[at : match.start()], replacement(match)]
                    at = match.end()
                    break
        changed = "".join((*kept, text[at:])) if kept else text
        return text if changed == text else changed

    def _named(self, text: str, hits: Sequence[_Hit], found: Found) -> str:
        """Return a text without what is secret by its name."""
        words: dict[int, int] = {}
        for begin, end in hits:
            # Of words that end alike, the longest says most.
            words[end] = min(begin, words.get(end, begin))
        kept, at = [], 0
        for end in sorted(words):
            begin = words[end]
            if begin < at:
                continue
            secret = value_behind(text, begin, end, text[begin:end].lower())
            if secret is None or self._is_allowed(text[secret.begin : secret.end]):
                continue
            found.counts[secret.rule] += 1
            kept += [text[at : secret.begin], f"[REDACTED:{secret.rule}]"]
            at = secret.end
        return "".join((*kept, text[at:])) if kept and self._policy.mode == "redact" else text

    def _key(self, key: Any, found: Found) -> Any:
        return self.text(key, found) if isinstance(key, str) else key

    def _field(self, name: str, value: Any, found: Found) -> Any:
        # A secret may be known by the name of its field alone.
        word = named_of_many(name) if isinstance(value, list | tuple) else named(name)
        if word is None or rule_of(word) in self._policy.disabled:
            return self.value(value, found)
        if isinstance(value, list | tuple):
            # Sentences in it tell what is wrong with one.
            return [
                self._by_name(word, one, found)
                if isinstance(one, str) and not re.search(r"\s", one)
                else self.value(one, found)
                for one in value
            ]
        if isinstance(value, Mapping):
            told = self.value(value, found)
            # What was taken out of it already is counted already.
            inner = [
                key
                for key in value
                if key in _VALUES and isinstance(value[key], str) and told.get(key) == value[key]
            ]
            return told | {key: self._by_name(word, value[key], found) for key in inner}
        return self._by_name(word, value, found)

    def _pair(self, value: Mapping[Any, Any], told: dict[Any, Any], found: Found) -> dict[Any, Any]:
        """Return a mapping without the secret that is named by one field and stands in another."""
        names = [one for key, one in value.items() if key in _NAMES and isinstance(one, str)]
        word = next((word for one in names if (word := named(one)) is not None), None)
        if word is None or rule_of(word) in self._policy.disabled:
            return told
        # What was taken out of it already is counted already.
        inner = [key for key in value if key in _VALUES and told.get(key) == value[key]]
        return told | {key: self._by_name(word, value[key], found) for key in inner}

    def _by_name(self, word: str, value: Any, found: Found) -> Any:
        """Return the value of a field or option that is a secret's."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not isinstance(value, str) and not (number and word in PASSWORD_WORDS):
            return self.value(value, found)
        told = str(value)
        cleaned = self.text(told, found)
        if cleaned != told:
            return cleaned
        if not given_to(word, told) or self._is_allowed(told):
            return value
        found.counts[rule_of(word)] += 1
        return f"[REDACTED:{rule_of(word)}]" if self._policy.mode == "redact" else value

    def _items(self, values: Iterable[Any], found: Found) -> list[Any]:
        """Return a list without secrets; those behind options are known by these."""
        kept: list[Any] = []
        word = None
        values = list(values)
        if len(values) == 2 and isinstance(values[0], str) and (pair := named(values[0])) is not None:
            # As headers are given.
            word = None if rule_of(pair) in self._policy.disabled else pair
            return [
                self.value(values[0], found),
                self.value(values[1], found) if word is None else self._by_name(word, values[1], found),
            ]
        for one in values:
            kept.append(self.value(one, found) if word is None else self._by_name(word, one, found))
            word = option(one) if isinstance(one, str) and len(one) < 100 else None
            word = None if word and rule_of(word) in self._policy.disabled else word
        return kept

    def _taken_out(self, rule: Rule, found: Found) -> Callable[[re.Match[str]], str]:
        def replacement(match: re.Match[str]) -> str:
            group = "secret" if "secret" in rule.pattern.groupindex else 0
            secret = match.group(group)
            if self._is_none(rule, secret):
                return match.group()
            found.counts[rule.id] += 1
            if self._policy.mode != "redact":
                return match.group()
            begin, end = match.span(group)
            whole, start = match.group(), match.start()
            return f"{whole[: begin - start]}[REDACTED:{rule.id}]{whole[end - start :]}"

        return replacement

    def _is_none(self, rule: Rule, secret: str) -> bool:
        if secret.startswith("[REDACTED:") or PLACEHOLDER.match(secret):
            return True
        if rule.entropy and entropy(secret) < rule.entropy:
            return True
        return self._is_allowed(secret)

    def _is_allowed(self, secret: str) -> bool:
        return secret in self._literals or any(pattern.search(secret) for pattern in self._patterns)


def _lowered(text: str) -> str:
    """Return a text in small letters, each where it was."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)


def _is_pattern(text: str) -> bool:
    return len(text) > 2 and text.startswith("/") and text.endswith("/")

"""Secrets in transcripts: found by rules and taken out before anything is kept. Pure.

Each rule has words without which it cannot match, so that a clean text costs a few searches. What only looks
like a secret by its name (``password=``) has to look like one by its letters, too.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ahocorasick_rs import AhoCorasick, Implementation

from minoots.contracts.conversations import ConversationEvent

Mode = Literal["redact", "detect", "off"]


@dataclass(frozen=True)
class Rule:
    """One kind of secret.

    Attributes:
        id: what stands in its place: ``[REDACTED:<id>]``.
        words: one of them has to be in the text, in small letters.
        pattern: what to look for; the group ``secret``, or the whole match, is taken out.
        entropy: bits per character that the secret has at least; of those that are known by their names only.
    """

    id: str
    words: tuple[str, ...]
    pattern: re.Pattern[str]
    entropy: float = 0.0


def _rule(id: str, words: str, pattern: str, *, entropy: float = 0.0) -> Rule:
    # A token begins where no word goes on; also behind a line end that is spelled out, as in JSON.
    begins = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))"
    pattern = begins + pattern[2:] if pattern.startswith(r"\b") else pattern
    return Rule(id, tuple(words.split()), re.compile(pattern), entropy)


# Within one line: what stands on the next one is something else. Quotes may be those of JSON within JSON.
_VALUE: Final = r"""\\{0,3}["']?[ \t]{0,3}(?:[:=]|=>)[ \t]{0,3}\\{0,3}["']?"""

RULES: Final[tuple[Rule, ...]] = (
    _rule("aws-access-key-id", "akia asia", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    _rule(
        "aws-secret-access-key",
        "aws_secret secretaccesskey secret_access_key",
        rf"(?i:aws_secret_access_key|secret_?access_?key){_VALUE}(?P<secret>[A-Za-z0-9/+=]{{40}})(?![A-Za-z0-9/+=])",
    ),
    _rule("github-pat", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
    _rule("github-fine-grained-pat", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{50,255}\b"),
    _rule("gitlab-pat", "glpat-", r"\bglpat-[A-Za-z0-9_-]{20,255}"),
    _rule("slack-token", "xox", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,255}"),
    _rule(
        "slack-webhook-url",
        "hooks.slack.com/services",
        r"https://hooks\.slack\.com/services/T[A-Za-z0-9]{6,20}/B[A-Za-z0-9]{6,20}/[A-Za-z0-9]{16,64}",
    ),
    _rule("stripe", "k_live_ k_test_", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,255}\b"),
    _rule("anthropic", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_-]{20,255}"),
    _rule("openai", "sk-", r"\bsk-(?!ant-)(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,255}", entropy=3.0),
    _rule("google", "aiza", r"\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])"),
    _rule("npm", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    _rule("pypi", "pypi-ageichlwas5vcmc", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{40,1000}"),
    _rule("sendgrid", "sg.", r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    _rule("telegram", ":aa", r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    _rule("shopify", "shpat_ shpca_ shppa_ shpss_", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"),
    _rule("databricks", "dapi", r"\bdapi[a-f0-9]{32}\b"),
    _rule("huggingface", "hf_", r"\bhf_[A-Za-z0-9]{30,64}\b"),
    _rule("digitalocean", "_v1_", r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    _rule("azure-storage", "accountkey=", r"(?i:AccountKey)=(?P<secret>[A-Za-z0-9+/]{86}==)"),
    _rule(
        "private-key",
        "private",
        # What breaks off is a key as well.
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){0,20000}"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
    ),
    _rule(
        "jwt",
        "eyj",
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{8,1000}",
    ),
    _rule(
        "url-credentials",
        "://",
        # Begins with letters that can be searched for; the scheme is looked back at.
        r"://(?<=[a-zA-Z0-9+.-]://)[^\s/:@]{1,100}:(?P<secret>[^\s/:@]{3,200})@",
    ),
    _rule(
        "authorization-bearer",
        "authorization",
        rf"(?i:authorization){_VALUE}(?i:bearer|token|basic)\s{{1,3}}(?P<secret>[A-Za-z0-9._~+/=-]{{12,4000}})",
    ),
    _rule(
        "generic-api-key-assignment",
        "api_key apikey api-key access_token auth_token client_secret access-token auth-token",
        rf"(?i:api[_-]?key|access[_-]token|auth[_-]token|client[_-]secret){_VALUE}"
        r"(?P<secret>[A-Za-z0-9_.+/=-]{16,4000})",
        entropy=3.0,
    ),
    _rule(
        "generic-password-assignment",
        "password passwd pwd secret",
        # In quotes it may hold what ends it elsewhere; what begins with a brace is filled in later.
        rf"(?i:password|passwd|pwd|secret){_VALUE}(?P<secret>(?<=\")[^\s\"\\{{][^\s\"\\]{{7,4000}}|"
        rf"(?<=')[^\s'\\{{][^\s'\\]{{7,4000}}|[^\s\"'`,;<>{{}}()\[\]]{{8,4000}})",
        entropy=2.5,
    ),
)

_PLACEHOLDER: Final = re.compile(
    # Words are no secret; what goes on with more than a few digits may be one.
    r"(?i)^(?:x{4,}|\*{3,}|\.{3,}|"
    r"(?:your[_-]|example|changeme|placeholder|dummy|test(?:ing)?[_-])[a-z_.-]{0,80}[0-9]{0,4}$|"
    r"redacted.*|\$.*|%.*|<.*|process\.env.*|os\.(?:environ|getenv).*|none|null|true|false|undefined)"
)


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
        return event.model_copy(update=changes) if self._policy.mode == "redact" and changes else event

    def value(self, value: Any, found: Found) -> Any:
        """Return JSON without the secrets in its texts."""
        if isinstance(value, str):
            return self.text(value, found)
        if isinstance(value, Mapping):
            return {self._key(key, found): self._field(str(key), one, found) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one, found) for one in value]
        return value

    def text(self, text: str, found: Found) -> str:
        """Return a text without the secrets in it."""
        if self._words is None:
            return text
        hits = self._words.find_matches_as_indexes(text.lower(), overlapping=True)
        for number in sorted({self._of_word[word] for word, _, _ in hits}):
            rule = self._rules[number]
            text = rule.pattern.sub(self._taken_out(rule, found), text)
        return text

    def _key(self, key: Any, found: Found) -> Any:
        return self.text(key, found) if isinstance(key, str) else key

    def _field(self, name: str, value: Any, found: Found) -> Any:
        # A secret may be known by the name of its field alone.
        if isinstance(value, str) and len(value) < 300:
            told = f'{name}="{value}"'
            taken = self.text(told, found)
            if taken != told and taken.startswith(f'{name}="') and taken.endswith('"'):
                return taken[len(name) + 2 : -1]
            return value if taken == told else self.text(value, found)
        return self.value(value, found)

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
        if secret.startswith("[REDACTED:") or _PLACEHOLDER.match(secret):
            return True
        if rule.entropy and _entropy(secret) < rule.entropy:
            return True
        return secret in self._literals or any(pattern.search(secret) for pattern in self._patterns)


def _entropy(text: str) -> float:
    """Bits per character."""
    size = len(text)
    return -sum(count / size * math.log2(count / size) for count in Counter(text).values())


def _is_pattern(text: str) -> bool:
    return len(text) > 2 and text.startswith("/") and text.endswith("/")

"""Kinds of secrets and what each looks like; `named_secrets` finds what is known by its name only. Pure.

Each rule has words without which it cannot match, so that a clean text costs one search.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .named_secrets import API_KEY_WORDS, KEYS_RULE, PASSWORD_WORDS, WORDS_RULE


@dataclass(frozen=True)
class Rule:
    """One kind of secret.

    Attributes:
        id: what stands in its place: ``[REDACTED:<id>]``.
        words: one of them has to be in the text, in small letters.
        pattern: what to look for; the group ``secret``, or the whole match, is taken out.
        entropy: bits per character that the secret has at least; of those that are known by their names only.
        before: characters before the word at which the pattern begins at most; ``None`` where that is not
            known: then the whole text is searched, which takes longer.
    """

    id: str
    words: tuple[str, ...]
    pattern: re.Pattern[str]
    entropy: float = 0.0
    before: int | None = None


# A token begins where no word goes on; also behind what is spelled out: line ends and others, as in JSON and
# in addresses, and colours of terminals.
_SPELLED: Final = (
    r"(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\x[0-9A-Fa-f]{2})|(?<=[0-9\[]m)"
)
_BEGINS: Final = rf"(?:(?<![A-Za-z0-9_])|{_SPELLED})"


def _rule(id: str, words: str, pattern: str, *, entropy: float = 0.0, before: int = 0) -> Rule:
    pattern = _BEGINS + pattern[2:] if pattern.startswith(r"\b") else pattern
    return Rule(id, tuple(words.split()), re.compile(pattern), entropy, before)


# Within one line: what stands on the next one is something else. Quotes may be those of JSON within JSON.
_VALUE: Final = r"""\\{0,3}["']?[ \t]{0,3}(?:[:=]|=>)[ \t]{0,3}\\{0,3}["']?"""

NEVER: Final = re.compile(r"(?!)")
"""Of what is known by its name: that is looked for behind each of its words."""

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
    _rule("slack-token", "xox xapp-", r"\b(?:xox[abeoprs](?:\.xox[bp])?-|xapp-[0-9]-)[A-Za-z0-9-]{10,255}"),
    _rule(
        "slack-webhook-url",
        "https://hooks.slack.com/services",
        r"https://hooks\.slack\.com/services/T[A-Za-z0-9]{6,20}/B[A-Za-z0-9]{6,20}/[A-Za-z0-9]{16,64}",
    ),
    _rule(
        "stripe",
        "k_live_ k_test_ whsec_",
        r"\b(?:[rs]k_(?:live|test)_[A-Za-z0-9]{16,255}\b|whsec_[A-Za-z0-9+/=]{24,255})",
        before=1,
    ),
    _rule("anthropic", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_-]{20,255}"),
    _rule(
        "openai",
        "sk-",
        # With a digit near its beginning: names in style sheets begin like that as well.
        r"\bsk-(?!ant-)(?=[A-Za-z_-]{0,60}[0-9])(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,255}",
        entropy=3.0,
    ),
    _rule(
        "google",
        "aiza ya29. gocspx-",
        r"\b(?:AIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])|ya29\.[0-9A-Za-z_-]{20,1000}|GOCSPX-[0-9A-Za-z_-]{28})",
    ),
    _rule("npm", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    _rule("pypi", "pypi-ageichlwas5vcmc", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{40,1000}"),
    _rule("sendgrid", "sg.", r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    _rule("telegram", ":aa", r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])", before=10),
    _rule("shopify", "shpat_ shpca_ shppa_ shpss_", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"),
    _rule("databricks", "dapi", r"\bdapi[a-f0-9]{32}\b"),
    _rule("huggingface", "hf_", r"\bhf_[A-Za-z0-9]{30,64}\b"),
    _rule("digitalocean", "_v1_", r"\bdo[opr]_v1_[a-f0-9]{64}\b", before=3),
    _rule(
        "azure-storage",
        "accountkey= sharedaccesskey=",
        r"(?i:AccountKey|SharedAccessKey)=(?P<secret>[A-Za-z0-9+/]{43,86}={1,2})",
    ),
    _rule(
        "private-key",
        "-----begin",
        # What breaks off is a key as well.
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){0,20000}"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
    ),
    _rule(
        "jwt",
        "eyj",
        rf"(?:(?<![A-Za-z0-9_-])|{_SPELLED})"
        r"eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{8,1000}",
    ),
    _rule(
        "url-credentials",
        "://",
        # Begins with letters that can be searched for; the scheme is looked back at. A password may hold
        # whatever divides an address, so it goes to the last @; digits up to a slash are a port.
        r"://(?<=[a-zA-Z0-9+.-]://)(?!\[REDACTED:)[^\s/:@\"'<>`]{0,100}:(?![0-9]{1,5}(?:[/?#]|$))"
        r"(?P<secret>[^\s\"'<>`]{2,300}[^\s\"'<>`/]|[^\s/@\"'<>`]{3,300})@(?=[A-Za-z0-9_\[%$])",
    ),
    _rule(
        "authorization-bearer",
        "authorization",
        rf"(?i:authorization){_VALUE}(?i:bearer|token|basic)\s{{1,3}}(?P<secret>[A-Za-z0-9._~+/=-]{{12,4000}})",
    ),
    _rule(
        "command-credentials",
        "curl sshpass",
        # What these programs take without a name: `curl -u ada:…`, `sshpass -p …`.
        r"(?:curl\b[^\n|;]{0,300}?\s(?:-u|--user)[ =]{0,2}[\"']?[^\s:\"'$]{1,100}:"
        r"|sshpass[ ]{1,3}-p[ ]{0,3}[\"']?)(?P<secret>[^\s\"'$]{4,300})",
        entropy=2.0,
    ),
    _rule(
        "minoots", "mnt_ whsk_", r"\b(?:mnt_[A-Za-z0-9_-]{43}|whsk_[A-Za-z0-9+/=_-]{40,200})(?![A-Za-z0-9_-])"
    ),
    _rule("groq", "gsk_", r"\bgsk_[A-Za-z0-9]{40,255}\b"),
    _rule("xai", "xai-", r"\bxai-[A-Za-z0-9]{60,255}\b"),
    _rule("age", "age-secret-key-1", r"(?i:\bAGE-SECRET-KEY-1[0-9A-Z]{58})"),
    Rule(KEYS_RULE, API_KEY_WORDS, NEVER),
    Rule(WORDS_RULE, PASSWORD_WORDS, NEVER),
)

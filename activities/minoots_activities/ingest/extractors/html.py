"""HTML, as the Markdown that says the same."""

from __future__ import annotations

import re
import warnings
from typing import Final

from .decoding import clean
from .extractor import Extracted, Extractor, Form

_UNSEEN: Final = ("script", "style", "noscript", "template", "svg", "iframe", "object", "head")
_BEGINS: Final = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:<!--(?:(?!-->).)*-->\s*)*<(?:!doctype\s+html|html)\b",
    re.IGNORECASE | re.DOTALL,
)
_META: Final = ("description", "author", "keywords", "date")


class Html(Extractor):
    """HTML."""

    name = "html"
    version = 1
    media_types = frozenset({"text/html", "application/xhtml+xml"})
    suffixes = frozenset({".html", ".htm", ".xhtml"})

    def knows(self, head: bytes) -> bool:
        """Tell by the doctype, or the first element."""
        return _BEGINS.match(head) is not None

    def read(self, data: bytes) -> Extracted:
        """Return what a reader would see, as Markdown."""
        # Heavy, and needed where files are read only.
        from bs4 import BeautifulSoup, Comment
        from markdownify import MarkdownConverter

        with warnings.catch_warnings():
            # They tell of texts that look like addresses or XML, for people at a prompt.
            warnings.simplefilter("ignore")
            soup = BeautifulSoup(data, "lxml")
        title = soup.title.get_text(" ", strip=True) if soup.title else None
        found = {"encoding": soup.original_encoding or "utf-8"}
        language = soup.html.get("lang") if soup.html else None
        if isinstance(language, str):
            found["language"] = language
        for tag in soup.find_all("meta"):
            name, content = tag.get("name"), tag.get("content")
            if isinstance(name, str) and name.lower() in _META and isinstance(content, str):
                found[name.lower()] = content.strip()
        for unseen in soup.find_all(_UNSEEN):
            unseen.decompose()
        for comment in soup.find_all(string=lambda text: isinstance(text, Comment)):
            comment.extract()
        try:
            text = MarkdownConverter(
                heading_style="ATX",
                bullets="-",
                # What stands in it stays as it is: an escaped secret would not be known as one.
                escape_asterisks=False,
                escape_underscores=False,
                escape_misc=False,
            ).convert_soup(soup)
        except RecursionError:
            # Nested so deeply that nobody can have meant it: the words without the shape.
            text = soup.get_text("\n")
        text = re.sub(r"\n{3,}", "\n\n", clean(text)).strip("\n")
        return Extracted(text and text + "\n", Form.MARKDOWN, title or None, found)

"""PDF, page by page."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, Final

from .decoding import clean
from .extractor import Extracted, Extractor, Form, Unreadable

if TYPE_CHECKING:
    from pypdf import PdfReader


_BEGINS: Final = re.compile(rb"[\s\x00\xef\xbb\xbf]{0,64}%PDF-")


class Pdf(Extractor):
    """PDF."""

    name = "pdf"
    version = 1
    media_types = frozenset({"application/pdf", "application/x-pdf"})
    suffixes = frozenset({".pdf"})

    def knows(self, head: bytes) -> bool:
        """Tell by the first bytes."""
        return _BEGINS.match(head) is not None

    def read(self, data: bytes) -> Extracted:
        """Return the text of every page."""
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError

        try:
            reader = PdfReader(io.BytesIO(data))
            if reader.is_encrypted and not reader.decrypt(""):
                raise Unreadable("the PDF is locked by a password", "Send it without one.")
            pages, unread = _pages(reader)
        # A library that reads what others have written by hand fails in many ways.
        except (
            PyPdfError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            OSError,
            NotImplementedError,
        ) as error:
            raise Unreadable(
                # Without its words, which quote the file.
                f"the PDF is damaged or of a kind that is not read: {type(error).__name__}",
                "Open it in a PDF program, save it anew, and send that.",
            ) from error
        if not any(page.strip() for page in pages):
            raise Unreadable(
                f"there is no text on any of its {len(pages)} pages; it may be made of pictures",
                "Recognise its text first (OCR, such as ocrmypdf), and send the result.",
            )
        found: dict[str, Any] = {"pages": len(pages), **_about(reader)}
        if unread:
            found["pages_unread"] = unread
        title = found.pop("title", None)
        return Extracted("\f".join(pages), Form.PAGES, title, found)


def _pages(reader: PdfReader) -> tuple[list[str], int]:
    pages, unread = [], 0
    for page in reader.pages:
        try:
            pages.append(clean(page.extract_text()))
        except MemoryError:
            raise
        except Exception:
            # One page that is broken is counted; the others are read.
            pages.append("")
            unread += 1
    return pages, unread


def _about(reader: PdfReader) -> dict[str, Any]:
    try:
        said = reader.metadata
        if said is None:
            return {}
        created = said.creation_date
        told = {
            "title": said.title,
            "author": said.author,
            "subject": said.subject,
            "keywords": said.keywords,
            "created": None if created is None else created.isoformat(),
        }
    except Exception:
        # What it says of itself may be broken; what it says is not.
        return {}
    return {name: clean(value).strip() for name, value in told.items() if value and value.strip()}

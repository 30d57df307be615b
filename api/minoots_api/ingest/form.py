"""The form that files are sent in: what is in it, checked, before anything of it is kept."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from minoots.contracts import FieldProblem, IngestAbout
from minoots.contracts.ingest import MEDIA_TYPE_PATTERN, SourceName
from minoots.errors import Failure, FailureKind
from minoots_platform.records.ingests import SentFile
from minoots_platform.settings import IngestSettings

from .names import name_in

FILE: Final = "file"
ABOUT: Final = "about"
_REMEDY: Final = "Send multipart/form-data with a part `file` for each file: curl -F file=@notes.md …"
_MOST_ABOUT: Final = 1024 * 1024
_PADDING: Final = 512
"""Bytes that may stand behind the end of a form."""
_PATIENCE: Final = 300
"""Seconds that a form may take to come: each holds a turn."""
_NAME: Final = TypeAdapter(SourceName)


@dataclass(frozen=True)
class Sent:
    """What was sent: the files, what they hold, and what is known of them."""

    files: tuple[SentFile, ...]
    uploads: tuple[UploadFile, ...]
    about: IngestAbout

    @property
    def fingerprint(self) -> str:
        """What tells this request from others: the boundary between its parts is another each time."""
        told = [self.about.model_dump_json()]
        told += [f"{file.name}\x1f{file.media_type}\x1f{file.sha256}" for file in self.files]
        return hashlib.sha256("\x1e".join(told).encode()).hexdigest()


@asynccontextmanager
async def sent(request: Request, settings: IngestSettings) -> AsyncIterator[Sent]:
    """Yield what is in the form of a request; it lies on the disk until then, not in memory.

    Raises:
        Failure: invalid, for a form that is none, or lacks or has what it should not; too large.
    """
    async with _form(request, settings) as form:
        about = _about(form)
        uploads = _uploads(form)
        files = [await _file(upload, place, settings) for place, upload in enumerate(uploads, start=1)]
        _require_distinct(files, about)
        yield Sent(tuple(files), tuple(uploads), about)


@asynccontextmanager
async def _form(request: Request, settings: IngestSettings) -> AsyncIterator[FormData]:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        got = request.headers.get("content-type", "none")
        _refuse("header.Content-Type", "multipart/form-data with a boundary", got)
    end = b"--" + options[b"boundary"] + b"--"
    tail = b""

    async def body() -> AsyncGenerator[bytes]:
        nonlocal tail
        async for part in request.stream():
            tail = (tail + part)[-len(end) - _PADDING :]
            yield part

    parser = MultiPartParser(
        request.headers, body(), max_files=settings.max_files, max_fields=1, max_part_size=_MOST_ABOUT
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            form = await parser.parse()
        if end not in tail:
            # What came of it would look like a form with fewer files.
            _refuse("body", "a form with its end", "one that breaks off")
        yield form
    except MultiPartException as error:
        _refuse("body", f"a form of at most {settings.max_files} files and one part `about`", error.message)
    except (UnicodeError, LookupError):
        _refuse("header.Content-Type", "a charset that is known, such as utf-8", "another")
    except ClientDisconnect:
        _refuse("body", "a form with its end", "the connection ended")
    except TimeoutError:
        _refuse("body", f"a form within {_PATIENCE} s", "one that takes longer")
    finally:
        # Also those of a form that breaks off, of which the parser has not told.
        for file in parser._files_to_close_on_error:
            file.close()


def _about(form: FormData) -> IngestAbout:
    text = form.get(ABOUT)
    if text is None:
        return IngestAbout()
    if not isinstance(text, str):
        _refuse(f"body.{ABOUT}", "a part of text: JSON", "a file")
    try:
        return IngestAbout.model_validate_json(text)
    except ValidationError as error:
        if any(one["type"] == "json_invalid" for one in error.errors()):
            _refuse(f"body.{ABOUT}", "JSON", f"text that is none: {text[:60]!r}")
        raise RequestValidationError([_placed(one) for one in error.errors(include_url=False)]) from error


def _placed(found: ErrorDetails) -> dict[str, Any]:
    """Return what is wrong in the part `about` with its place in the form."""
    # What is found while looking through all of it names its place in words.
    told = re.sub(r"^(Value error, (?:a key in )?body)", rf"\1.{ABOUT}", found["msg"])
    return {**found, "loc": ("body", ABOUT, *found["loc"]), "msg": told}


def _uploads(form: FormData) -> Sequence[UploadFile]:
    found = []
    for name, value in form.multi_items():
        if name == ABOUT:
            continue
        if name != FILE:
            _refuse(f"body.{name[:60]}", f"parts called `{FILE}` and `{ABOUT}`", "another part")
        if not isinstance(value, UploadFile):
            _refuse(f"body.{FILE}", "a file with a name: -F file=@notes.md", "text without a file name")
        found.append(value)
    if not found:
        _refuse(f"body.{FILE}", "at least one file", "none")
    return found


async def _file(upload: UploadFile, place: int, settings: IngestSettings) -> SentFile:
    field = f"body.{FILE}.{place}"
    try:
        name = _NAME.validate_python(_name(upload) or "")
    except ValidationError:
        _refuse(
            f"{field}.filename", "a name of 1 to 1024 characters on one line", repr(upload.filename)[:100]
        )
    size = upload.size or 0
    if size > settings.max_file_bytes:
        expected = f"at most {settings.max_file_bytes} bytes"
        raise Failure(
            FailureKind.TOO_LARGE,
            f"{name[:100]!r} has {size} bytes, more than the {settings.max_file_bytes} that are taken in",
            remedy="Divide it, or raise ingest.max_file_bytes.",
            errors=(FieldProblem(field=field, expected=expected, got=f"{size} bytes"),),
        )
    media_type = (upload.content_type or "").partition(";")[0].strip().lower()
    known = media_type if re.match(MEDIA_TYPE_PATTERN, media_type) else None
    return SentFile(name, known, size, await asyncio.to_thread(_hash, upload))


def _name(upload: UploadFile) -> str | None:
    # Headers come as Latin-1; what is no UTF-8 becomes what no name may hold.
    said = upload.headers.get("content-disposition", "")
    return name_in(said.encode("latin-1", "replace").decode("utf-8", "surrogateescape"))


def _hash(upload: UploadFile) -> str:
    upload.file.seek(0)
    digest = hashlib.sha256()
    while part := upload.file.read(1024 * 1024):
        digest.update(part)
    upload.file.seek(0)
    return digest.hexdigest()


def _require_distinct(files: Sequence[SentFile], about: IngestAbout) -> None:
    names: set[str] = set()
    for place, file in enumerate(files, start=1):
        if file.name in names:
            _refuse(f"body.{FILE}.{place}.filename", "each name once", f"{file.name[:100]!r} again")
        names.add(file.name)
    for name in about.files:
        if name not in names:
            _refuse(f"body.{ABOUT}.files", "names of files that are sent with it", repr(name[:100]))


def _refuse(field: str, expected: str, got: str) -> NoReturn:
    raise Failure(
        FailureKind.INVALID,
        "the form cannot be taken",
        remedy=_REMEDY,
        errors=(FieldProblem(field=field, expected=expected, got=got[:200]),),
    )

"""Parts of a transcript: records out of a file, and what a parser makes of them, with how far that was.

Owns how much is held at once. Keeps nothing, and is asked by one thread after the other: it may take long.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, BinaryIO, Final

from minoots_platform.records.conversations import Reading
from minoots_platform.telemetry import get_logger

from .compressed import Damaged
from .lines import Mark, lines_from, mark_at
from .readers import Identity, Parsed, Parser, Reader
from .readers.gemini import records_of_whole
from .recovery import MOST_VALUES, is_swollen, is_whole, records_of

BATCH: Final = 500
"""Lines of one transaction: few enough for a writer beside it, many enough for speed."""

_BATCH_BYTES: Final = 8 << 20
"""Of its lines: some have megabytes each."""

LARGEST_WHOLE: Final = 256 << 20
"""Bytes of a file that is read as a whole."""

_CHUNK: Final = 1 << 20

LOUD_AFTER: Final = 5
"""Records of which none is understood: the format has changed, and somebody has to know."""


_MOST_KINDS: Final = 100
"""Kinds of records that nobody knows which are counted by their names: the counts stand in the records, and
are looked through for secrets with each part."""

_OTHERS: Final = "others"

_LONGEST_FACT: Final = 4096
"""Characters of what is known of a conversation as a whole, such as its folder: lists show it."""


@dataclass
class _Batch:
    records: list[Mapping[str, Any]]
    damaged: int
    mark: Mark


@dataclass(frozen=True)
class Beginning:
    """What a file begins with."""

    head: Mapping[str, Any] | None
    """Its first record, however long it is; ``None`` where there is none yet."""
    whole: _Batch | None = None
    """All of it, where it has to be read at once."""


def beginning_of(reader: Reader, file: BinaryIO) -> Beginning:
    """Return what a file begins with.

    Raises:
        Damaged: it would have to be read at once, and is too large for that.
    """
    if reader.cursor == "whole":
        whole = _whole(file)
        return Beginning(whole.records[0] if whole is not None and whole.records else None, whole)
    return Beginning(_first(file))


def parts_of(
    reader: Reader, identity: Identity, file: BinaryIO, reading: Reading, begun: Beginning
) -> Iterator[tuple[Parsed, Reading]]:
    """Yield what comes of each part of a file, with how far it was read by then."""
    parser = reader.parser(identity, reading.state)
    batches = _by_lines(file, reading) if reader.cursor == "lines" else _if_new(begun.whole, reading)
    del begun
    for batch, parser.more in _with_more(batches):
        parser, parsed, odd = fed(reader, identity, parser, batch.records)
        unknown = counted(reading.unknown, parsed.unknown)
        understood = reading.understood + parsed.understood
        reading = replace(
            reading,
            offset=batch.mark.offset,
            fingerprint=batch.mark.fingerprint,
            state=parser.state,
            damaged=reading.damaged + batch.damaged + odd,
            unknown=unknown,
            understood=understood,
            problem=problem_of(
                understood, unknown, reading.damaged + batch.damaged + odd, _loud_after(reader)
            ),
        )
        yield parsed, reading


def _by_lines(file: BinaryIO, reading: Reading) -> Iterator[_Batch]:
    batch = _Batch([], 0, Mark())
    lines = size = 0
    for line in lines_from(file, reading.offset, is_whole):
        found = records_of(line.data)
        batch.records += found.records
        batch.damaged += found.damaged
        lines, size, end = lines + 1, size + len(line.data), line.end
        if lines == BATCH or size > _BATCH_BYTES:
            batch.mark = mark_at(file, end)
            yield batch
            batch, lines, size = _Batch([], 0, Mark()), 0, 0
    if lines:
        batch.mark = mark_at(file, end)
        yield batch


def _if_new(batch: _Batch | None, reading: Reading) -> Iterator[_Batch]:
    if batch is not None and batch.mark.fingerprint != reading.fingerprint:
        # What was damaged before is counted already.
        yield replace(batch, damaged=batch.damaged - reading.damaged)


def _whole(file: BinaryIO) -> _Batch | None:
    """Return all records of a file; ``None`` where it has none yet."""
    if file.seek(0, 2) > LARGEST_WHOLE:
        raise Damaged(f"it has more than {LARGEST_WHOLE} bytes, and would have to be read at once")
    # Of a log the bytes need not be held beside the records.
    data = b"" if _is_log(file) else _all_of(file)
    # Before the records are read: what is written meanwhile makes another mark.
    mark = _mark_of(data) if data else _mark_of_all(file)
    if not mark.offset:
        return None
    if is_swollen(data):
        raise Damaged(f"it has more than {MOST_VALUES} values, and would have to be read at once")
    if data and (whole := records_of_whole(data)) is not None:
        return _Batch(list(whole), 0, mark)
    del data
    batch, lines = _Batch([], 0, mark), 0
    for line in lines_from(file, 0, is_whole):
        found = records_of(line.data)
        batch.records += found.records
        batch.damaged += found.damaged
        lines += 1
    return batch if lines else None


def _is_log(file: BinaryIO) -> bool:
    """Tell whether a file is one record a line: its first line is one, and others follow."""
    both = list(islice(lines_from(file, 0, is_whole), 2))
    first = records_of(both[0].data) if len(both) == 2 else None
    return first is not None and bool(first.records) and not first.damaged


def _first(file: BinaryIO) -> Mapping[str, Any] | None:
    for line in lines_from(file, 0, is_whole):
        if records := records_of(line.data).records:
            return records[0]
    return None


def _all_of(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(LARGEST_WHOLE)


def _mark_of(data: bytes) -> Mark:
    return Mark(len(data), hashlib.blake2b(data, digest_size=16).hexdigest())


def _mark_of_all(file: BinaryIO) -> Mark:
    found, size = hashlib.blake2b(digest_size=16), 0
    file.seek(0)
    while chunk := file.read(_CHUNK):
        found.update(chunk)
        size += len(chunk)
    return Mark(size, found.hexdigest())


def _with_more(batches: Iterable[_Batch]) -> Iterator[tuple[_Batch, bool]]:
    """Yield each, with whether another comes behind it."""
    before = None
    for batch in batches:
        if before is not None:
            yield before, True
        before = batch
    if before is not None:
        yield before, False


def fed(
    reader: Reader, identity: Identity, parser: Parser, records: Sequence[Mapping[str, Any]]
) -> tuple[Parser, Parsed, int]:
    """Have records read; return who goes on, what came of them, and on how many the parser failed."""
    state, parsed = parser.state, Parsed()
    try:
        parser.feed(records, parsed)
    except Exception:
        # Once more from where this part began, each record by itself: the others count.
        more, parser, parsed = parser.more, reader.parser(identity, state), Parsed()
        return parser, parsed, _one_by_one(parser, records, parsed, more=more)
    return parser, parsed, 0


def _one_by_one(parser: Parser, records: Sequence[Mapping[str, Any]], parsed: Parsed, *, more: bool) -> int:
    failed = 0
    for number, record in enumerate(records, 1):
        parser.more = more or number < len(records)
        try:
            parser.feed([record], parsed)
        except Exception as error:
            get_logger("minoots.capture").warning("transcript.record_odd", error=type(error).__name__)
            failed += 1
    return failed


def counted(before: Mapping[str, int], more: Mapping[str, int]) -> Counter[str]:
    """Return how many records of which unknown kinds there are by now; of many kinds, the rest together."""
    found = Counter(before)
    for kind, many in more.items():
        found[kind if kind in found or len(found) < _MOST_KINDS else _OTHERS] += many
    return found


def bounded(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a conversation, without what is too long to be what it says."""
    return {name: one for name, one in facts.items() if not isinstance(one, str) or len(one) <= _LONGEST_FACT}


def _loud_after(reader: Reader) -> int:
    """Return of how many records none may be understood: what is written as a whole has no more to come."""
    return 1 if reader.cursor == "whole" else LOUD_AFTER


def problem_of(understood: int, unknown: Counter[str], damaged: int, most: int) -> str | None:
    """Return what is wrong with a transcript of which nothing is understood, of so many records at least."""
    if understood:
        return None
    if damaged:
        return (
            f"none of {damaged + unknown.total()} records can be read: the file is damaged, or no transcript"
        )
    if unknown.total() < most:
        return None
    kinds = ", ".join(kind for kind, _ in unknown.most_common(3))
    return f"none of {unknown.total()} records is understood ({kinds}): the format may have changed"

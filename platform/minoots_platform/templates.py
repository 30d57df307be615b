"""Templates for the bodies of webhooks: Liquid, without a way out and with bounds on what one may do.

Nothing of Python can be reached, other templates cannot be read, and there is no clock: the same event gives
the same body. What a template does is counted while it does it, so that nobody's template can stand in the
way of anybody's timer.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

from liquid import BoundTemplate, Environment, FalsyStrictUndefined, RenderContext
from liquid.exceptions import FilterArgumentError, LiquidError, ResourceLimitError
from liquid.utils import ReadOnlyChainMap

from minoots.contracts import BodyTemplate

from .template_faults import TemplateFault

MOST_WORK: Final = 1_500_000
"""Characters and items that one rendering may go through: a fraction of a second."""

_STEP: Final = 25
"""What looking a name up, a filter or a round of a loop costs by itself, in the same unit."""

MOST_OUTPUT: Final = 256 * 1024
"""Bytes; as many as a payload may have."""

_LARGEST: Final = 10**30
_FILTERS: Final = frozenset(
    "abs append at_least at_most base64_decode base64_encode capitalize ceil compact concat default "
    "divided_by downcase escape first floor has join last lstrip map minus modulo newline_to_br plus prepend "
    "reject remove remove_first replace replace_first reverse round rstrip size slice sort sort_natural "
    "split squish strip sum times truncate truncatewords upcase url_decode url_encode where".split()
)
"""Of those that the library brings. Left out is what looks at the clock or costs more than it looks."""

_TAGS: Final = frozenset({"include", "render", "tablerow", "liquid", "doc"})
"""Left out: there are no other templates, no web pages, and one way to write a tag."""

_MOST_TAGS: Final = 1000
_OPENING: Final = re.compile(r"\{\{|\{%")
_RAW_END: Final = re.compile(r"\{%-?\s{0,50}endraw\s{0,50}-?%\}")
_QUOTED: Final = re.compile(r"\"[^\"]*\"|'[^']*'")
_BLANKS: Final = re.compile(r"\s{100}")

# With a width, one directive of strftime makes a text of any length.
_FORMAT: Final = re.compile(r"(?:[^%]|%[-A-Za-z%])*")


def check(body: BodyTemplate) -> None:
    """Refuse what is no template.

    Raises:
        TemplateFault: saying what is wrong, and in which line.
    """
    _parsed(body.template)


def render(body: BodyTemplate, event: Mapping[str, Any]) -> str:
    """Return the body for an event.

    Args:
        body: the template, and what it makes.
        event: the CloudEvent that would be sent without one. What is in its ``data`` also stands at the top
            level: ``timer``, ``payload``, ``occurrence`` …

    Raises:
        TemplateFault: it cannot be filled in, does too much, or makes no JSON where it says so.
    """
    template = _parsed(body.template)
    try:
        text = template.render({"event": event, **event["data"]})
    except ResourceLimitError as error:
        raise TemplateFault("the template does too much; shorten its loops, or what it makes") from error
    except LiquidError as error:
        raise _fault(error) from error
    except (ArithmeticError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # Filters pass on what Python says of a value that they cannot take.
        raise TemplateFault(f"a filter cannot take a value: {error}") from error
    if body.is_json:
        _require_json(text)
    return text


def _require_json(text: str) -> None:
    try:
        json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise TemplateFault(
            f"it makes no JSON: {error}; write values as {{{{ value | json }}}}, which brings the quotes"
        ) from error


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


@functools.lru_cache(maxsize=256)
def _parsed(source: str) -> BoundTemplate:
    _look_over(source)
    try:
        template = _ENVIRONMENT.from_string(source, matter={"length": len(source)})
        used = template.analyze().filters
    except LiquidError as error:
        raise _fault(error) from error
    except RecursionError as error:
        raise TemplateFault("the template is nested too deeply") from error
    for name, places in used.items():
        if name not in _ENVIRONMENT.filters:
            line, _ = places[0].line_col(source)
            raise TemplateFault(f"line {line}: unknown filter '{name}'; {_suggested(name)}")
    return template


def _look_over(source: str) -> None:
    """Refuse what the library would parse for ever, and ranges, through which it walks without an account."""
    at = tags = 0
    while (opening := _OPENING.search(source, at)) is not None:
        begin, tags = opening.end(), tags + 1
        end = source.find("}}" if opening.group() == "{{" else "%}", begin)
        line = source.count("\n", 0, begin) + 1 if end < 0 or tags > _MOST_TAGS else 0
        if end < 0:
            raise TemplateFault(f"line {line}: {opening.group()} is never closed")
        if tags > _MOST_TAGS:
            raise TemplateFault(f"line {line}: expected at most {_MOST_TAGS} tags")
        inner = source[begin:end]
        at = end + 2
        if _BLANKS.search(inner):
            raise TemplateFault("expected fewer than 100 blanks in a row within a tag")
        if ".." in inner and ".." in _QUOTED.sub("", inner):
            raise TemplateFault("there are no ranges such as (1..9); loop over what the payload holds")
        if inner.strip("- \n\t") == "raw":
            closed = _RAW_END.search(source, at)
            if closed is None:
                raise TemplateFault(f"line {source.count(chr(10), 0, begin) + 1}: raw is never closed")
            at = closed.end()


def _suggested(name: str) -> str:
    near = difflib.get_close_matches(name, _ENVIRONMENT.filters, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(_ENVIRONMENT.filters))}"


def _fault(error: LiquidError) -> TemplateFault:
    try:
        found = error.context()
    except ValueError:  # at the very end of the text
        found = None
    where = "" if found is None else f"line {found[0]}: "
    open_end = "; a {% … %} is never closed" if "found end of" in str(error.message) else ""
    return TemplateFault(f"{where}{error.message}"[:500] + open_end)


class _Counted(RenderContext):
    """Counts what is gone through: by loops, by filters, by comparing."""

    def __init__(self, template: BoundTemplate, **options: Any) -> None:
        super().__init__(template, **options)
        # Without what the library adds by itself: the time of day.
        self.scope = ReadOnlyChainMap(self.locals, self.globals, self.counters)
        self._left = MOST_WORK
        self._sizes: dict[int, int] = {}
        self._measure(options.get("globals", {}))

    def charge(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise ResourceLimitError("too much work", token=None)

    def cost(self, value: object) -> int:
        """Return what it costs to go through ``value``."""
        known = self._sizes.get(id(value))
        if known is not None:
            return known
        if isinstance(value, str | bytes | range | dict):
            return len(value) + 1
        if isinstance(value, list | tuple):
            return sum(self._sizes.get(id(one), len(one) if isinstance(one, str) else 1) for one in value) + 1
        return 1

    def get(self, path: list[object], **options: Any) -> object:
        value = super().get(path, **options)
        self.charge(_STEP + self.cost(value))
        return value

    def raise_for_loop_limit(self, length: int = 1) -> None:
        # One round costs at most what the whole template does.
        self.charge(length * (_STEP + int(str(self.template.matter["length"])) // 4))
        super().raise_for_loop_limit(length)

    def _measure(self, value: object) -> int:
        """Note the size of everything in the event, once: comparing goes as deep as it does."""
        if isinstance(value, Mapping):
            size = 1 + sum(len(str(key)) + self._measure(one) for key, one in value.items())
        elif isinstance(value, list):
            size = 1 + sum(map(self._measure, value))
        else:
            return len(value) + 1 if isinstance(value, str) else 1
        self._sizes[id(value)] = size
        return size


class _Template(BoundTemplate):
    context_class = _Counted


class _Environment(Environment):
    output_stream_limit: ClassVar[int | None] = MOST_OUTPUT
    loop_iteration_limit: ClassVar[int | None] = 20_000
    block_nesting_limit: ClassVar[int] = 20
    template_class = _Template

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        for name in _TAGS:
            del self.tags[name]
        library = self.filters
        own = {"json": _json, "date": _date}
        chosen = {name: library[name] for name in _FILTERS} | own
        self.filters = {name: _counted(name, one) for name, one in chosen.items()}


def _counted(name: str, filter_: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same filter, charging for what it takes and for what it makes."""
    wants_environment = getattr(filter_, "with_environment", False)
    wants_context = getattr(filter_, "with_context", False)

    def counted(value: object, *args: Any, context: _Counted, environment: object, **named: Any) -> Any:
        given = (value, *args, *named.values())
        if any(isinstance(one, int) and abs(one) > _LARGEST for one in given):
            raise FilterArgumentError("expected numbers of at most 30 digits", token=None)
        sizes = [context.cost(one) for one in given]
        context.charge(_STEP + sum(sizes))
        if name in ("replace", "join") and len(sizes) > 1:
            # What is put in may stand between any two characters or items.
            context.charge(sizes[0] * sizes[-1])
        if wants_environment:
            named["environment"] = environment
        if wants_context:
            named["context"] = context
        try:
            made = filter_(value, *args, **named)
        except (TypeError, FilterArgumentError) as error:
            if isinstance(error, FilterArgumentError) and "positional argument" not in str(error.message):
                raise
            why = f"{name} takes other arguments, or another value"
            raise FilterArgumentError(why, token=None) from error
        context.charge(context.cost(made))
        return made

    counted.with_context = True  # type: ignore[attr-defined]  # how the library is asked for it
    counted.with_environment = True  # type: ignore[attr-defined]
    return counted


def _json(value: object) -> str:
    """``{{ payload | json }}``: the value as it stands in JSON, quotes included."""
    if isinstance(value, FalsyStrictUndefined):
        value.poke()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _date(value: object, format: object = None, zone: object = "UTC") -> str:
    """``{{ timer.fire_at | date: "%H:%M", "Europe/Berlin" }}``."""
    if not isinstance(format, str) or len(format) > 64 or not _FORMAT.fullmatch(format):
        why = 'date expected a format such as "%H:%M", without widths'
        raise FilterArgumentError(why, token=None)
    try:
        place = ZoneInfo(str(zone))
    except (ValueError, LookupError, OSError) as error:
        raise FilterArgumentError(f"date expected a time zone; got {str(zone)[:40]!r}", token=None) from error
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        got = repr(str(value)[:40])
        raise FilterArgumentError(f"date expected an RFC 3339 time; got {got}", token=None) from error
    if moment.tzinfo is None:
        raise FilterArgumentError("date expected a time with an offset", token=None)
    return moment.astimezone(place).strftime(format)


_ENVIRONMENT: Final = _Environment(undefined=FalsyStrictUndefined)

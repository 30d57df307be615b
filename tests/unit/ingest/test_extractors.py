"""Extractors: what they find, and that nothing that is sent makes them fail in any other way than told."""

from __future__ import annotations

import io
import re
from typing import Any

import anyio
import pytest
from anyio import to_process
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from minoots_activities.ingest.extractors import Extracted, Form, Unreadable, installed, pick
from minoots_activities.ingest.extractors.decoding import decode
from minoots_activities.ingest.extractors.installed import HEAD
from minoots_activities.ingest.reading import Plan, Taken, extract, read, take
from minoots_platform.settings import Settings
from minoots_workers.parts import policy_of

SECRET = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
PLAN = Plan(policy_of(Settings().capture), 2000, 20, 1024)
PARTS = st.sampled_from(
    [
        *(
            b"---\n",
            b"title: x\n",
            b"a: [1, *b]\n",
            b"\xef\xbb\xbf",
            b"\xff\xfe",
            b"\x00\x00\xfe\xff",
            b"\x00",
        ),
        *(
            b"<html>",
            b"<ol start='",
            b"<td colspan=",
            b"9" * 20,
            b"'>",
            b"<li>",
            b"<script>",
            b"<!--",
            b"-->",
        ),
        *(b"<meta charset=", b"utf-7", b"<table><tr>", b"<pre>", b"<a href=", b"<h1>", b"&#0;", b"&#xd800;"),
        *(
            b"%PDF-1.4\n",
            b"1 0 obj\n",
            b"<< /Type /Catalog /Pages 1 0 R >>",
            b"stream\n",
            b"endobj\n",
            b"xref",
        ),
        *(
            b"trailer << /Root 1 0 R >>",
            b"startxref\n0\n%%EOF",
            b"{",
            b'"a"',
            b":",
            b"}",
            b"\n",
            b"\r",
            b"\xb2",
        ),
    ]
)
ANYTHING = st.one_of(st.binary(max_size=200), st.lists(st.one_of(PARTS, st.binary(max_size=6))).map(b"".join))


def found_in(kind: str, data: bytes | str) -> Extracted:
    """What an extractor finds."""
    return extract(installed()[kind], data.encode() if isinstance(data, str) else data)


def require_fit(found: Extracted) -> None:
    """Any database can hold it, and JSON can tell it."""
    told = [found.text, found.title or "", *texts(dict(found.found))]
    for text in told:
        assert not re.search("[\x00\ud800-\udfff]", text), repr(text)[:200]


def texts(value: Any) -> list[str]:
    """Every text in a JSON value."""
    if isinstance(value, dict):
        return [*value, *texts(list(value.values()))]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("kind", ["html", "jsonl", "markdown", "pdf", "text"])
@given(data=ANYTHING)
@example(data='<ol start="²"><li>a</ol>'.encode())
@example(data=b'<ol start="' + b"9" * 5000 + b'"><li>a</ol>')
@example(data='<table><tr><td colspan="²">a</table>'.encode())
@example(data=b"---\na: !!bool no such thing\n---\n")
@example(data=b"---\na: !!int ''\n---\n")
@example(data=b"---\na: !!timestamp soon\n---\n")
@example(data=b"---\na: " + b":".join([b"1"] * 300) + b".5\n---\n")
@example(data=b'---\ntitle: "a\\0b"\n---\n')
@example(data=b'---\n"\\0": "\\0"\n---\n')
@example(data=b'---\ntitle: "a\\ud800b"\n---\n')
@example(data=b"<html lang='a\x00b'><title>\x00</title>")
@settings(max_examples=100, deadline=None)
def test_nothing_that_is_sent_is_an_error_of_ours(kind: str, data: bytes) -> None:
    try:
        require_fit(found_in(kind, data))
    except Unreadable as unreadable:
        require_fit(Extracted(unreadable.problem, Form.PLAIN, unreadable.remedy))


# --- encodings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_tells_the_encoding(encoding: str) -> None:
    assert decode("Tee für 🦉\n".encode(encoding))[0] == "Tee für 🦉\n"


@pytest.mark.parametrize(("encoding", "mark"), [("utf-16-be", b"\xfe\xff"), ("utf-32-be", b"\0\0\xfe\xff")])
def test_a_mark_of_the_other_order_does_too(encoding: str, mark: bytes) -> None:
    assert decode(mark + "Tee für 🦉".encode(encoding)) == ("Tee für 🦉", encoding)


def test_bytes_without_a_mark_are_what_old_programs_wrote() -> None:
    assert decode("für “Ümit” … 5 €".encode("cp1252")) == ("für “Ümit” … 5 €", "windows-1252")


@pytest.mark.parametrize(
    "data", [bytes(range(256)), b"a\x00" * 50, b"\x7fELF" + b"\x01" * 40, b"PK\x03\x04\x14"]
)
def test_bytes_that_are_no_text_are_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="no text"):
        decode(data)


def test_lines_end_in_one_way() -> None:
    assert decode(b"a\r\nb\rc\fd\n")[0] == "a\nb\nc\nd\n"
    assert decode(b"\xff\xfe\x00\xd8a\x00")[0] == "\ufffda"


# --- Markdown --------------------------------------------------------------------------------------------


def test_front_matter_tells_of_the_text() -> None:
    found = found_in(
        "markdown",
        "---\ntitle: Tea\ndate: 2026-07-01\nat: 2026-07-01T10:00:00Z\ntags: [a, 2, true, {b: 1}]\n"
        "deep: {a: 1}\nnone:\n---\n# Other\n",
    )
    assert (found.title, found.text, found.form) == ("Tea", "# Other\n", Form.MARKDOWN)
    assert found.found == {
        "encoding": "utf-8",
        "date": "2026-07-01",
        "at": "2026-07-01T10:00:00+00:00",
        "tags": ["a", 2, True],
    }


@pytest.mark.parametrize(
    "text",
    [
        "---\na: [\n---\n# T\n",
        "---\n- a\n---\n# T\n",
        "---\nwords\n---\n# T\n",
        "---\na: 2026-13-45\n---\n# T\n",
        "---\na: !!python/object:os.system x\n---\n# T\n",
        "---\na: " + "[" * 3000 + "\n---\n# T\n",
        "---\na: 1\n# T\n",
        "---\na: " + "x" * 20_000 + "\n---\n# T\n",
        " ---\na: 1\n---\n# T\n",
    ],
    ids=range(9),
)
def test_front_matter_that_is_none_is_text(text: str) -> None:
    found = found_in("markdown", text)
    assert found.text == text
    assert dict(found.found) == {"encoding": "utf-8"}


def test_front_matter_that_refers_to_itself_or_multiplies_is_harmless() -> None:
    bomb = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    found = found_in("markdown", f"---\na0: &a0 [lol]\n{bomb}b: &b [*b]\n---\ntext\n")
    assert found.text == "text\n"
    assert found.found["a0"] == ["lol"]


# --- HTML ------------------------------------------------------------------------------------------------


def test_html_is_what_its_reader_sees() -> None:
    found = found_in(
        "html",
        "<!doctype html><html lang=en><head><title> A <b>title</b></title><meta name=Author content=' Me '>"
        "<style>p {color: red}</style></head><body><h1>One</h1><script>alert(1)</script><p>Text &amp; more"
        "<!-- hidden --><noscript>no</noscript><svg><text>pic</text></svg><template>t</template>"
        "<h2>Two</h2><ul><li>a<li>b</ul><pre>x = 1</pre><iframe>f</iframe>",
    )
    assert found.text == "# One\n\nText & more\n\n## Two\n\n- a\n- b\n\n```\nx = 1\n```\n"
    assert found.found["author"] == "Me"
    assert found.found["language"] == "en"
    assert (found.title or "").startswith("A")


def test_html_tells_its_encoding_itself() -> None:
    page = "<meta charset=iso-8859-2><p>źdźbło".encode("iso-8859-2")
    assert found_in("html", page).text == "źdźbło\n"
    assert found_in("html", "\ufeff<p>źdźbło").text.strip("\ufeff") == "źdźbło\n"


@pytest.mark.parametrize("nest", ["<div>", "<b>", "<ul><li>", "<blockquote>", "<table><tr><td>"])
def test_html_may_be_nested_as_deeply_as_it_likes(nest: str) -> None:
    assert "words" in found_in("html", nest * 10_000 + "words").text


def test_html_may_have_huge_attributes_and_be_broken() -> None:
    page = f"<p title='{'x' * 500_000}'>words</b></p><table><td>cell</html>more<a href='"
    text = found_in("html", page).text
    assert "words" in text
    assert "more" in text
    assert len(text) < 1000


def test_a_table_cannot_be_made_wider_than_it_is() -> None:
    assert len(found_in("html", "<table><tr><td colspan=999999999>a</table>").text) < 100_000


# --- PDF -------------------------------------------------------------------------------------------------


def pdf(*pages: str, content: bytes | None = None) -> bytes:
    """A PDF by hand."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>",
    ]
    kids = []
    for page in pages:
        text = content or f"BT /F1 12 Tf 72 720 Td ({page}) Tj ET".encode()
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(text), text))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%b] /Count %d >>" % (b" ".join(kids), len(kids))
    out, places = b"%PDF-1.4\n", []
    for number, told in enumerate(objects, start=1):
        places.append(b"%010d 00000 n \n" % len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, told)
    end = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(places) + end


def locked(password: str) -> bytes:
    """A PDF that a password locks."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("hidden"))))
    writer.add_metadata({"/Title": "Of tea", "/Author": "Me"})
    writer.encrypt(password, "owner", algorithm="AES-256")
    held = io.BytesIO()
    writer.write(held)
    return held.getvalue()


def test_a_pdf_is_read_page_by_page() -> None:
    found = found_in("pdf", pdf("first", "second", "third"))
    assert [page.strip() for page in found.text.split("\f")] == ["first", "second", "third"]
    assert (found.form, found.found["pages"]) == (Form.PAGES, 3)


def test_a_pdf_that_is_locked_by_no_word_is_read_and_one_by_a_word_is_told() -> None:
    found = found_in("pdf", locked(""))
    assert (found.text.strip(), found.title, found.found["author"]) == ("hidden", "Of tea", "Me")
    with pytest.raises(Unreadable, match="password"):
        found_in("pdf", locked("word"))


def test_a_pdf_without_text_is_told() -> None:
    with pytest.raises(Unreadable, match="no text on any of its 2 pages") as told:
        found_in("pdf", pdf("", ""))
    assert "OCR" in told.value.remedy


GOOD = pdf("first", "second")
DAMAGED = {
    "cut": GOOD[:-90],
    "begun": b"%PDF-1.7\n",
    "going round": GOOD.replace(b"/Kids [5 0 R 7 0 R]", b"/Kids [2 0 R 2 0 R]"),
    "without pages": GOOD.replace(b"/Pages 2 0 R", b"/Pages 9 0 R"),
    "locked by something unknown": GOOD.replace(
        b"/Root 1 0 R", b"/Root 1 0 R /Encrypt << /Filter /Own /V 1 >> /ID [(a) (b)]"
    ),
}


@pytest.mark.parametrize("which", DAMAGED)
def test_a_pdf_that_is_damaged_is_told(which: str) -> None:
    with pytest.raises(Unreadable):
        found_in("pdf", DAMAGED[which])


def test_a_problem_tells_nothing_of_what_stands_in_a_file() -> None:
    damaged = GOOD.replace(b"<< /Type /Catalog", SECRET.encode() + b"<< /Type /Catalog", 1)
    with pytest.raises(Unreadable) as told:
        found_in("pdf", damaged)
    assert SECRET[:12] not in told.value.problem


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.binary(max_size=8)), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_a_pdf_with_other_bytes_in_it_is_read_or_told(changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(GOOD)
    for place, put in changes:
        data[place : place + len(put)] = put
    try:
        require_fit(found_in("pdf", bytes(data)))
    except Unreadable as unreadable:
        require_fit(Extracted(unreadable.problem, Form.PLAIN, unreadable.remedy))


# --- JSON lines ------------------------------------------------------------------------------------------


def test_records_are_counted_and_broken_ones_too() -> None:
    found = found_in("jsonl", '{"a": 1}\n\n[2]\nno\n{"a":\n' + "[" * 100_000 + "\n")
    assert (found.found["records"], found.found["broken_records"]) == (2, 3)
    assert found.form is Form.LINES


# --- which one -------------------------------------------------------------------------------------------

PICKED = [
    (None, "a.md", b"# A", "markdown", "text/markdown"),
    (None, "A.MD", b"# A", "markdown", "text/markdown"),
    (None, "a", b"words", "text", "text/plain"),
    (None, "a.py", b"x = 1", "text", "text/x-python"),
    (None, "a.jsonl", b"{}", "jsonl", "application/json-lines"),
    (None, "a.txt", b"%PDF-1.7", "pdf", "application/pdf"),
    (None, "a.txt", b"\n <!-- x --> <!DOCTYPE HTML>", "html", "application/xhtml+xml"),
    ("application/octet-stream", "a.html", b"<p>", "html", "text/html"),
    ("text/plain", "a.md", b"# A", "markdown", "text/markdown"),
    ("text/markdown", "a.html", b"<p>", "markdown", "text/markdown"),
    ("text/csv", "a.md", b"a,b", "text", "text/csv"),
    ("application/x-pdf", "a", b"%PDF-1.7", "pdf", "application/x-pdf"),
]


@pytest.mark.parametrize(("said", "name", "head", "kind", "media_type"), PICKED)
def test_the_kind_of_a_file(said: str | None, name: str, head: bytes, kind: str, media_type: str) -> None:
    extractor, told = pick(None, said, name, head)
    assert extractor.name == kind
    assert told == media_type or (kind == "html" and said is None)


@pytest.mark.parametrize("begin", [HEAD, 100_000])
def test_a_text_that_mentions_pdf_is_text(begin: int) -> None:
    # The worker gives the first piece, which may be much more than the head.
    assert pick(None, None, "notes.md", b"x" * begin + b" a file begins with %PDF-1.7")[0].name == "markdown"


def test_what_a_page_of_html_says_is_text_of_markdown_where_its_sender_says_so() -> None:
    found, media_type = pick("text/markdown", "text/html", "notes.html", b"<!doctype html>\n# Tea\n")
    assert (found.name, media_type) == ("markdown", "text/markdown")


# --- the whole way, in a process of its own --------------------------------------------------------------


def taken(*each: tuple[str, bytes, Plan]) -> list[Taken | Exception]:
    """What comes of files, read one after the other as a worker reads them."""

    async def work() -> list[Taken | Exception]:
        done: list[Taken | Exception] = []
        for kind, data, plan in each:
            try:
                done.append(await to_process.run_sync(read, kind, data, plan, cancellable=True))
            except (Unreadable, anyio.BrokenWorkerProcess) as error:
                done.append(error)
        return done

    # In a loop of its own: the processes end with it, while that of these tests goes on.
    return anyio.run(work)


SECRETS = [
    ("text", f"token {SECRET} end"),
    ("markdown", f"---\ntitle: {SECRET}\na: [{SECRET}]\n---\n# {SECRET}\n\n`{SECRET}`\n"),
    ("jsonl", f'{{"token": "{SECRET}"}}\n'),
    ("html", f"<title>{SECRET}</title><meta name=author content='{SECRET}'><pre>{SECRET}</pre>"),
    ("html", f"<h1>{SECRET}</h1><p>token {SECRET} end</p>"),
]


@pytest.mark.parametrize(("kind", "text"), SECRETS, ids=range(len(SECRETS)))
def test_secrets_are_taken_out(kind: str, text: str) -> None:
    done = read_here(kind, text.encode())
    assert SECRET[4:] not in repr(done)
    assert sum(done.redacted.values()) == text.count(SECRET)


def read_here(kind: str, data: bytes) -> Taken:
    """What comes of a file, without the limits of a process."""
    return take(installed()[kind], data, PLAN)


@pytest.mark.timeout(600)  # its process gives way to all others
def test_what_takes_too_much_memory_is_told_and_the_next_file_is_read() -> None:
    greedy = Plan(PLAN.policy, 2000, 60, 256)
    failed, fine = taken(("html", b"<p>a" * 300_000, greedy), ("text", b"words", PLAN))
    assert isinstance(failed, Unreadable | anyio.BrokenWorkerProcess)
    if isinstance(failed, Unreadable):
        assert "256 MB of memory" in failed.problem
    assert isinstance(fine, Taken)


@pytest.mark.timeout(600)
def test_what_takes_too_long_ends_its_process_and_the_next_file_is_read() -> None:
    short = Plan(PLAN.policy, 2000, 0.1, 1024)
    failed, fine = taken(("markdown", b"- a\n" * 200_000, short), ("text", b"words", PLAN))
    assert isinstance(failed, anyio.BrokenWorkerProcess)
    assert isinstance(fine, Taken)

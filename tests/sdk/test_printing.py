"""What the commands print: pieces of text with lines between them, contents that drive no terminal."""

from __future__ import annotations

import io
import sys

import pytest

from minoots.cli import output

_DRIVES = b"\x1bc\x1b[2Jbooting\r\nok\n"


def test_a_line_between_pieces_of_text_begins_at_the_margin(capsys: pytest.CaptureFixture[str]) -> None:
    shown = output.Flow()
    shown.line("first")
    shown.text("half a ")
    shown.text("line")
    shown.line("between")
    shown.text("a whole line\n")
    shown.line("after it")
    shown.text("")
    shown.end()
    shown.text("last")
    shown.end()
    shown.end()
    assert capsys.readouterr().out == "first\nhalf a line\nbetween\na whole line\nafter it\nlast\n"


def test_a_content_drives_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    output.content(_DRIVES + b"\xff")
    assert terminal.getvalue() == "\\x1bc\\x1b[2Jbooting\\r\nok\n\ufffd"


def test_a_content_reaches_a_pipe_byte_for_byte(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    output.content(_DRIVES + b"\xff")
    assert capsysbinary.readouterr().out == _DRIVES + b"\xff"

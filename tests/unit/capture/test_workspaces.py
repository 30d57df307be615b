"""Workspaces: what their files may say, who is registered, what is recorded by itself, and their flags."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openfeature import api
from pydantic import ValidationError

from minoots.errors import Failure, FailureKind
from minoots_activities.capture import registry as registry_module
from minoots_activities.capture.flags import DEFAULTS, WorkspaceFlags
from minoots_activities.capture.registry import Registry
from minoots_activities.capture.workspaces import (
    FILE,
    TEMPLATE,
    TOKENS,
    FrontMatter,
    Workspace,
    WorkspaceConfig,
    read_config,
)
from minoots_platform.whole_files import write_whole

ID = "wsp_0123456789abcdef"
SOUND = f'id = "{ID}"\n'


def workspace(folder: Path, text: str = SOUND) -> Path:
    """A folder with the file of a workspace."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(text)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "workspaces.json"


@pytest.fixture
def registry(file: Path) -> Registry:
    return Registry(file)


def test_of_a_workspace_only_its_id_is_needed(tmp_path: Path) -> None:
    config = read_config(workspace(tmp_path))
    assert config == WorkspaceConfig(id=ID)
    assert (config.output, config.filename, config.format, config.timezone) == (
        ".",
        TEMPLATE,
        "markdown",
        "local",
    )
    assert (config.auto_record, config.auto_record_subagents, config.flags) == (False, False, {})
    assert config.front_matter == FrontMatter()


def test_everything_that_can_be_said_is_read(tmp_path: Path) -> None:
    text = f"""
id = "{ID}"
output = "notes/chats"
filename = "{{YYYY}}-{{snippet}} by {{username}}"
format = "jsonl"
timezone = "Europe/Berlin"
username = "ada"
tags = ["tea", "plans"]
auto_record = true
auto_record_subagents = true
auto_record_roots = ["/a", "~/b"]
[front_matter]
include = false
event_kinds = true
[flags]
writerIncludeThinking = false
"""
    config = read_config(workspace(tmp_path, text))
    assert (config.output, config.format, config.timezone, config.username) == (
        "notes/chats",
        "jsonl",
        "Europe/Berlin",
        "ada",
    )
    assert (config.tags, config.auto_record_roots) == (("tea", "plans"), ("/a", "~/b"))
    assert (config.front_matter.include, config.front_matter.event_kinds) == (False, True)
    assert config.flags == {"writerIncludeThinking": False}


@pytest.mark.parametrize(
    ("lines", "key", "expected"),
    [
        ('outptu = "x"', "outptu", "no such field"),
        ("[front_matter]\ninlcude = true", "front_matter.inlcude", "no such field"),
        ("[front_matter]\ninclude = 3", "front_matter.include", "true or false"),
        ("[flags]\nwriterIncludeThinkin = true", "flags", "did you mean writerIncludeThinking?"),
        ("[flags]\nwriterIncludeThinking = 'often'", "flags.writerIncludeThinking", "true or false"),
        ('output = "/etc"', "output", "a folder below the workspace"),
        ('output = "a/../../b"', "output", "a folder below the workspace"),
        ('output = ".."', "output", "a folder below the workspace"),
        ('output = "a\\u0000b"', "output", "a folder below the workspace"),
        ("output = 3", "output", ""),
        ('filename = ""', "filename", "at least 1 character"),
        (f'filename = "{"x" * 201}"', "filename", "at most 200 characters"),
        ('filename = "a/b"', "filename", "a name without slashes"),
        ('filename = "a\\u0000b"', "filename", "a name without slashes"),
        ('filename = "{tittle}"', "filename", "{snippet}"),
        ('filename = "{snippet"', "filename", "a name without slashes"),
        ('filename = "snippet}"', "filename", "a name without slashes"),
        ('filename = "{Snippet}"', "filename", "a name without slashes"),
        ('filename = "{0.__class__}"', "filename", "a name without slashes"),
        ('timezone = "Berlin"', "timezone", "local, UTC or a zone such as Europe/Berlin"),
        ('timezone = ""', "timezone", "local, UTC or a zone"),
        ('timezone = "Europe"', "timezone", "local, UTC or a zone"),
        ('timezone = "../../etc/passwd"', "timezone", "local, UTC or a zone"),
        ('timezone = "/etc/localtime"', "timezone", "local, UTC or a zone"),
        ('timezone = "a\\u0000b"', "timezone", "local, UTC or a zone"),
        (f'username = "{"x" * 65}"', "username", "at most 64 characters"),
        ('tags = [""]', "tags.0", "at least 1 character"),
        (f'tags = ["ok", "{"x" * 65}"]', "tags.1", "at most 64 characters"),
        ('tags = "tea"', "tags", "a list"),
        ('auto_record = "maybe"', "auto_record", "true or false"),
        ("auto_record_roots = [1]", "auto_record_roots.0", ""),
    ],
)
def test_what_is_refused_names_the_key_and_what_was_expected(
    tmp_path: Path, lines: str, key: str, expected: str
) -> None:
    with pytest.raises(Failure) as failed:
        read_config(workspace(tmp_path, SOUND + lines))
    assert failed.value.kind is FailureKind.INVALID
    assert failed.value.detail.startswith(f"{tmp_path / FILE}: {key}: expected ")
    assert expected in failed.value.detail
    assert "; got " in failed.value.detail


def test_a_token_within_a_token_is_refused() -> None:
    for outer, inner in itertools.permutations(sorted(TOKENS), 2):
        with pytest.raises(ValidationError):
            WorkspaceConfig(id=ID, filename=f"{{{outer}{{{inner}}}}}")


@pytest.mark.parametrize(
    "public_id",
    ["", "wsp_", "wsp_1234567", "wsp_ABCDEFGH", f"wsp_{'0' * 37}", "tmr_12345678", "wsp_1234567/"],
)
def test_an_id_has_a_shape(tmp_path: Path, public_id: str) -> None:
    with pytest.raises(Failure, match=r": id: expected .*; got ") as failed:
        read_config(workspace(tmp_path, f'id = "{public_id}"'))
    assert failed.value.kind is FailureKind.INVALID


def test_a_file_without_an_id_says_so(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"id: expected a value \(it is required\); got nothing"):
        read_config(workspace(tmp_path, "auto_record = true"))


@pytest.mark.parametrize("output", ["", ".", "a", "a/b", "./a", "..notes", "a..b", ".hidden"])
def test_folders_for_recordings_are_below_the_workspace(tmp_path: Path, output: str) -> None:
    made = Workspace("notes", tmp_path, WorkspaceConfig(id=ID, output=output))
    assert made.folder.resolve().is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize(
    "zone", ["local", "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+9"]
)
def test_zones(zone: str) -> None:
    assert WorkspaceConfig(id=ID, timezone=zone).timezone == zone


@pytest.mark.parametrize(
    "content", [b"id = ", b"\xff\xfe", b"id = 'a'\nid = 'b'", b"[flags\n", b'{"id": 1}'], ids=range(5)
)
def test_a_file_that_is_no_toml_says_which_and_where(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(Failure, match=re.escape(f"{tmp_path / FILE} cannot be read: ")) as failed:
        read_config(tmp_path)
    assert failed.value.kind is FailureKind.INVALID


@pytest.mark.parametrize("value", ["[" * 30_000, "9" * 5000])
def test_a_file_that_is_made_to_stop_who_reads_it_is_in_nobodys_way(
    tmp_path: Path, registry: Registry, value: str
) -> None:
    # It may come with a repository.
    registry.add("odd", workspace(tmp_path / "odd", f"{SOUND}output = {value}\n"))
    registry.add("notes", workspace(tmp_path / "notes", 'id = "wsp_00000000000000ff"\n'))
    [problem] = registry.problems()
    assert problem.startswith(f"nothing is recorded for odd: {tmp_path / 'odd' / FILE} cannot be read: ")
    assert [one.alias for one in registry.all()] == ["notes"]


def test_a_file_that_is_missing_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="is missing") as failed:
        read_config(tmp_path)
    assert failed.value.kind is FailureKind.NOT_FOUND
    assert failed.value.remedy == f"minoots workspace init {tmp_path}"


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(Failure, match="cannot be read"):
        read_config(tmp_path)


def test_a_registry_that_is_not_there_is_empty(registry: Registry, file: Path) -> None:
    assert (registry.roots(), registry.all()) == ({}, [])
    assert not file.exists(), "looking makes nothing"


def test_what_is_registered_is_found_by_its_alias(tmp_path: Path, registry: Registry) -> None:
    root = workspace(tmp_path / "notes")
    registry.add("notes", root)
    found = registry.get("notes")
    assert found == Workspace("notes", root, WorkspaceConfig(id=ID))
    assert registry.roots() == {"notes": root}
    assert registry.all() == [found]


def test_registering_once_more_changes_nothing(tmp_path: Path, registry: Registry) -> None:
    for _ in range(2):
        registry.add("notes", tmp_path)
    assert registry.roots() == {"notes": tmp_path}


def test_the_registry_is_of_this_user_alone_and_nothing_is_left_beside_it(
    tmp_path: Path, registry: Registry, file: Path
) -> None:
    registry.add("b", tmp_path / "b")
    registry.add("a", tmp_path / "a")
    assert [one.name for one in file.parent.iterdir()] == [file.name]
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0
    kept = json.loads(file.read_text())
    assert (kept["version"], [one["alias"] for one in kept["workspaces"]]) == (1, ["a", "b"])


def test_what_another_process_has_changed_is_read_anew(tmp_path: Path, file: Path) -> None:
    one, other = Registry(file), Registry(file)
    assert one.roots() == {}
    other.add("notes", tmp_path / "notes")
    assert one.roots() == {"notes": tmp_path / "notes"}
    one.add("plans", tmp_path / "plans")
    assert other.roots() == {"notes": tmp_path / "notes", "plans": tmp_path / "plans"}
    other.remove("notes")
    assert one.roots() == {"plans": tmp_path / "plans"}
    file.unlink()
    assert one.roots() == other.roots() == {}


def test_what_a_slower_reader_makes_of_the_old_file_is_not_taken_for_the_new_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*aliases: str) -> None:
        entries = [{"alias": alias, "root": f"/{alias}"} for alias in aliases]
        file.write_text(json.dumps({"workspaces": entries}))

    # Files of tests are young: those are never remembered.
    monkeypatch.setattr(registry_module, "_TICK_NS", 0)
    file.parent.mkdir(parents=True, exist_ok=True)
    said("old")
    meanwhile: list[Callable[[], None]] = []
    seen: list[set[str]] = []

    class Interrupted(Registry):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if meanwhile:
                # Somebody else asks at the very moment at which the slower one remembers something.
                meanwhile.pop()()

    registry = Interrupted(file)
    validated = registry_module._Registry.model_validate_json

    def validating(data: bytes) -> object:
        monkeypatch.undo()
        monkeypatch.setattr(registry_module, "_TICK_NS", 0)
        said("new", "newer")
        assert set(registry.roots()) == {"new", "newer"}, "the faster one"
        meanwhile.append(lambda: seen.append(set(registry.roots())))
        return validated(data)

    monkeypatch.setattr(registry_module._Registry, "model_validate_json", validating)
    assert set(registry.roots()) == {"old"}
    assert seen == [{"new", "newer"}]
    assert set(registry.roots()) == {"new", "newer"}


def test_the_file_of_a_workspace_is_read_anew_each_time(tmp_path: Path, registry: Registry) -> None:
    registry.add("notes", workspace(tmp_path))
    assert not registry.get("notes").config.auto_record
    workspace(tmp_path, SOUND + "auto_record = true")
    assert registry.get("notes").config.auto_record


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"version": 2, "workspaces": []}',
        b'{"workspaces": [{"alias": "a/b", "root": "/x"}]}',
        b'{"workspaces": [{"alias": "a"}]}',
        b'{"workspaces": {"a": "/x"}}',
        b'{"workspace": []}',
    ],
    ids=range(10),
)
def test_a_damaged_registry_says_which_file_and_what_to_do(
    tmp_path: Path, registry: Registry, file: Path, content: bytes
) -> None:
    registry.add("notes", workspace(tmp_path / "notes"))
    file.write_bytes(content)
    fresh = Registry(file)
    for reading in (registry, fresh, fresh):
        for ask in (
            reading.roots,
            reading.all,
            lambda of=reading: of.get("notes"),
            lambda of=reading: of.remove("notes"),
        ):
            with pytest.raises(Failure, match=re.escape(f"{file} cannot be read")) as failed:
                ask()
            assert failed.value.kind is FailureKind.INVALID
            assert "minoots workspace register" in str(failed.value.remedy)
    with pytest.raises(Failure):
        registry.add("other", tmp_path / "other")
    assert file.read_bytes() == content, "what can still be mended is left alone"
    file.unlink()
    registry.add("notes", tmp_path / "notes")
    assert registry.roots() == {"notes": tmp_path / "notes"}


def test_a_folder_in_place_of_the_registry_is_told(registry: Registry, file: Path) -> None:
    file.mkdir(parents=True)
    with pytest.raises(Failure, match="cannot be read"):
        registry.roots()


def test_a_file_in_place_of_the_folder_of_the_registry_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(Failure, match="cannot be read"):
        Registry(tmp_path / "home" / "workspaces.json").roots()


@pytest.mark.parametrize("root", ["", ".", "notes", "~/notes"])
def test_a_registry_that_names_no_whole_path_opens_nothing(registry: Registry, file: Path, root: str) -> None:
    file.parent.mkdir()
    file.write_text(json.dumps({"workspaces": [{"alias": "a", "root": root}]}))
    try:
        found = registry.roots()
    except Failure:
        return
    assert all(path.is_absolute() for path in found.values())


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("note", "the nearest is notes"),
        ("NOTES", "the nearest is notes"),
        ("plnas", "the nearest is Plans"),
        ("zzz", "registered are: Plans, notes"),
        ("", "registered are: Plans, notes"),
    ],
)
def test_an_alias_that_is_not_known_is_told_the_nearest(
    tmp_path: Path, registry: Registry, asked: str, told: str
) -> None:
    registry.add("notes", tmp_path / "notes")
    registry.add("Plans", tmp_path / "plans")
    for attempt in (registry.get, registry.remove):
        with pytest.raises(Failure) as failed:
            attempt(asked)
        assert failed.value.kind is FailureKind.NOT_FOUND
        assert failed.value.detail == f"there is no workspace {asked}; {told}"
        assert "minoots workspace register" in str(failed.value.remedy)
    assert len(registry.roots()) == 2


def test_where_nothing_is_registered_that_is_told(registry: Registry) -> None:
    with pytest.raises(Failure, match="there is no workspace notes; registered are: none"):
        registry.get("notes")


def test_an_alias_that_is_taken_is_refused(tmp_path: Path, registry: Registry) -> None:
    registry.add("notes", tmp_path / "one")
    with pytest.raises(Failure, match=f"the alias notes is taken by {tmp_path}/one") as failed:
        registry.add("notes", tmp_path / "two")
    assert (failed.value.kind, failed.value.remedy) == (FailureKind.CONFLICT, "Choose another: --alias")
    assert registry.roots() == {"notes": tmp_path / "one"}


def test_a_folder_that_is_taken_is_refused(tmp_path: Path, registry: Registry) -> None:
    registry.add("notes", tmp_path / "one")
    with pytest.raises(Failure, match=f"{tmp_path}/one is registered as notes") as failed:
        registry.add("plans", tmp_path / "one")
    assert (failed.value.kind, failed.value.remedy) == (
        FailureKind.CONFLICT,
        "minoots workspace unregister notes first.",
    )
    registry.remove("notes")
    registry.add("plans", tmp_path / "one")
    assert registry.roots() == {"plans": tmp_path / "one"}


@pytest.mark.parametrize("alias", ["", "-a", ".a", "a b", "a/b", "a\n", "ü", "a" * 64, "a\x00", "..", "::a"])
def test_what_cannot_be_an_alias_is_refused(
    tmp_path: Path, registry: Registry, file: Path, alias: str
) -> None:
    with pytest.raises(Failure, match="cannot be an alias: expected letters, digits") as failed:
        registry.add(alias, tmp_path)
    assert failed.value.kind is FailureKind.INVALID
    assert not file.exists()


@pytest.mark.parametrize("alias", ["a", "0", "A.b_c-d", "a" * 63, "a..b"])
def test_aliases(tmp_path: Path, registry: Registry, alias: str) -> None:
    registry.add(alias, tmp_path)
    assert list(registry.roots()) == [alias]


def test_a_workspace_whose_file_is_not_sound_is_in_nobodys_way(tmp_path: Path, registry: Registry) -> None:
    registry.add("gone", tmp_path / "gone")
    registry.add("bad", workspace(tmp_path / "bad", "id = 3"))
    registry.add("good", workspace(tmp_path / "good"))
    assert [one.alias for one in registry.all()] == ["good"]
    assert list(registry.roots()) == ["bad", "gone", "good"]
    with pytest.raises(Failure, match="is missing"):
        registry.get("gone")
    registry.remove("gone")
    registry.remove("bad")
    assert list(registry.roots()) == ["good"]


def test_writing_that_fails_leaves_the_old_registry_whole(
    tmp_path: Path, registry: Registry, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add("notes", tmp_path / "notes")

    def full(_: int) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            registry.add("plans", tmp_path / "plans")
    assert [one.name for one in file.parent.iterdir()] == [file.name]
    assert registry.roots() == Registry(file).roots() == {"notes": tmp_path / "notes"}


def test_what_is_written_takes_the_place_of_the_old(tmp_path: Path) -> None:
    for text in ("first", "ü🦉\n"):
        write_whole(tmp_path / "a", text)
        assert (tmp_path / "a").read_text("utf-8") == text


def holding(root: Path, *roots: str | Path) -> Workspace:
    config = WorkspaceConfig(id=ID, auto_record_roots=tuple(map(str, roots)))
    # As it was registered.
    return Workspace(
        "notes", root, config, tuple(os.path.realpath(root / Path(one).expanduser()) for one in roots)
    )


def test_a_workspace_holds_what_is_below_it(tmp_path: Path) -> None:
    inner = tmp_path / "notes" / "a" / "b"
    inner.mkdir(parents=True)
    notes = holding(tmp_path / "notes")
    for cwd in (notes.root, inner, inner / "not made yet", Path(f"{inner}/../b/")):
        assert notes.holds(str(cwd))
    for cwd in (tmp_path, tmp_path / "notesbook", Path("/"), notes.root / ".." / "other"):
        assert not notes.holds(str(cwd))


def test_folders_that_are_named_are_held_instead_of_the_workspace(tmp_path: Path) -> None:
    notes = holding(tmp_path / "notes", tmp_path / "code", tmp_path / "plans" / "tea")
    assert notes.holds(str(tmp_path / "code" / "x"))
    assert notes.holds(str(tmp_path / "plans" / "tea"))
    assert not notes.holds(str(tmp_path / "plans"))
    assert not notes.holds(str(tmp_path / "notes"))


def test_a_folder_that_is_held_may_be_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert holding(tmp_path / "notes", "~/code").holds(str(tmp_path / "code" / "x"))


def test_links_are_held_where_they_lead(tmp_path: Path) -> None:
    notes, other = tmp_path / "notes", tmp_path / "other"
    for made in (notes, other):
        made.mkdir()
    (other / "in").symlink_to(notes)
    (notes / "out").symlink_to(other)
    assert holding(notes).holds(str(other / "in"))
    assert not holding(notes).holds(str(notes / "out"))
    assert holding(other / "in").holds(str(notes)), "a workspace that is a link is where it leads"
    assert holding(notes, notes / "out").holds(str(other / "x"))
    assert not holding(notes, notes / "out").holds(str(notes))


@pytest.mark.parametrize("named", ["code", "."])
def test_folders_that_are_named_relatively_are_below_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.chdir("/")
    notes = holding(tmp_path, named)
    assert notes.holds(str(tmp_path / named))
    assert not notes.holds(f"/{named}")


@pytest.mark.parametrize("cwd", ["", ".", "C:\\Users\\ada", "x"])
def test_a_place_that_is_no_whole_path_is_held_by_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cwd: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not holding(tmp_path).holds(cwd)


@pytest.mark.parametrize("cwd", ["/a\x00b", "/\ud800"])
def test_what_can_be_no_path_is_held_by_none(tmp_path: Path, cwd: str) -> None:
    assert not holding(tmp_path).holds(cwd)


@pytest.fixture(scope="module")
def flags() -> WorkspaceFlags:
    return WorkspaceFlags()


def of(flags: WorkspaceFlags, answers: Mapping[str, Any]) -> dict[str, bool]:
    return flags.of(answers, provider="claude", session_id="s1")


def test_without_an_answer_the_defaults_hold(flags: WorkspaceFlags) -> None:
    assert of(flags, {}) == DEFAULTS


@given(st.dictionaries(st.sampled_from(sorted(DEFAULTS)), st.booleans()))
def test_a_workspace_answers_for_itself_alone(flags: WorkspaceFlags, answers: dict[str, bool]) -> None:
    assert of(flags, answers) == {**DEFAULTS, **answers}
    assert of(flags, {}) == DEFAULTS, "nothing is kept of it"


@pytest.mark.parametrize("answers", [{"writerIncludeToolCalls": "yes"}, {"unknown": True}, {"flags": {}}])
def test_an_answer_that_is_none_leaves_the_default(flags: WorkspaceFlags, answers: Mapping[str, Any]) -> None:
    assert of(flags, answers) == DEFAULTS


def test_every_flag_can_be_set_in_the_file_of_a_workspace(tmp_path: Path, flags: WorkspaceFlags) -> None:
    lines = "\n".join(f"{name} = {str(not value).lower()}" for name, value in DEFAULTS.items())
    config = read_config(workspace(tmp_path, f"{SOUND}[flags]\n{lines}\n"))
    assert of(flags, config.flags) == {name: not value for name, value in DEFAULTS.items()}


def test_two_that_ask_for_flags_are_in_nobodys_way(flags: WorkspaceFlags) -> None:
    before = api.get_provider_metadata().name
    other = WorkspaceFlags()
    assert of(other, {"writerIncludeThinking": False})["writerIncludeThinking"] is False
    assert of(flags, {}) == DEFAULTS
    assert api.get_provider_metadata().name == before, "the flags of the service are answered by its own"

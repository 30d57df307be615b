"""`minoots workspace`: what it makes, what it says, how it exits."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from minoots_activities.capture.checking import faults_of
from minoots_activities.capture.flags import DEFAULTS
from minoots_activities.capture.registry import Registry
from minoots_activities.capture.workspaces import FILE, FrontMatter, WorkspaceConfig, read_config
from minoots_platform.settings import load_settings
from minoots_workers.cli.workspace import app


class Home:
    """A user's folder with the registry, and `minoots workspace` run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "home" / "workspaces.json"
        self.notes = folder / "notes"
        self.notes.mkdir()

    def run(self, *arguments: str | Path) -> Result:
        ran = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        return ran

    def failed(self, *arguments: str | Path) -> str:
        """What it says when it fails, as a failure should."""
        ran = self.run(*arguments)
        assert (ran.exit_code, ran.stdout) == (4, "")
        assert ran.stderr.startswith("minoots workspace: ")
        return ran.stderr

    def roots(self) -> dict[str, Path]:
        return Registry(self.file).roots()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    folder = tmp_path.resolve()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MINOOTS_CONFIG", "")
    made = Home(folder)
    monkeypatch.setenv("MINOOTS_CAPTURE__REGISTRY", str(made.file))
    return made


def test_without_a_command_it_says_which_there_are(home: Home) -> None:
    ran = home.run()
    assert all(name in ran.output for name in ("init", "register", "list", "unregister"))
    assert not home.file.exists()


def test_init_makes_a_file_with_everything_that_can_be_set(home: Home) -> None:
    ran = home.run("init", home.notes)
    file = home.notes / FILE
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert ran.stdout == (
        f"{file} was made; `minoots workspace register {home.notes}` lets chats record into it\n"
    )
    config = read_config(home.notes)
    assert config == WorkspaceConfig(id=config.id, flags=dict(DEFAULTS)), "and it says what holds anyway"
    said = tomllib.loads(file.read_text())
    assert set(said) == set(WorkspaceConfig.model_fields) - {"username"}
    assert set(said["front_matter"]) == set(FrontMatter.model_fields)
    assert "# username = " in file.read_text()
    assert [one.name for one in home.notes.iterdir()] == [FILE]
    assert not home.file.exists(), "it is not registered yet"


def test_init_without_a_folder_takes_this_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home.notes)
    assert home.run("init").exit_code == 0
    assert (home.notes / FILE).is_file()


def test_two_workspaces_have_ids_of_their_own(home: Home) -> None:
    other = home.folder / "other"
    other.mkdir()
    for folder in (home.notes, other):
        assert home.run("init", folder).exit_code == 0
    assert read_config(home.notes).id != read_config(other).id


@pytest.mark.parametrize("content", ['id = "wsp_00000000"\n', "", "damaged = ", "\x00"])
@pytest.mark.parametrize("command", ["init", "register"])
def test_a_file_that_is_there_is_never_written_anew(home: Home, content: str, command: str) -> None:
    file = home.notes / FILE
    file.write_text(content)
    before = file.stat()
    ran = home.run(command, home.notes)
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns, file.read_text()) == (before.st_ino, before.st_mtime_ns, content)
    if command == "init":
        assert (ran.exit_code, ran.stdout) == (0, f"{file} is there already\n")


def test_a_file_that_is_a_link_is_left_alone(home: Home) -> None:
    real = home.folder / "shared.toml"
    real.write_text('id = "wsp_00000000"\n')
    (home.notes / FILE).symlink_to(real)
    assert "is there already" in home.run("init", home.notes).stdout
    assert (home.notes / FILE).is_symlink()
    assert real.read_text() == 'id = "wsp_00000000"\n'


@pytest.mark.parametrize("command", ["init", "register"])
@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_what_is_no_folder_is_refused(home: Home, command: str, kind: str) -> None:
    place = home.folder / "place"
    if kind == "a file":
        place.write_text("a file")
    assert home.failed(command, place) == (
        f"minoots workspace: {place} is no folder; make it first: mkdir -p {place}\n"
    )
    assert place.exists() == (kind == "a file")
    assert not home.file.exists()


def test_register_makes_a_folder_known_by_its_name(home: Home) -> None:
    ran = home.run("register", home.notes)
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert ran.stdout == f"{home.notes} is registered as notes: type ::record-notes in a chat\n"
    assert (home.notes / FILE).is_file()
    assert home.roots() == {"notes": home.notes}


def test_register_without_a_folder_takes_this_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home.notes)
    assert home.run("register").exit_code == 0
    assert home.roots() == {"notes": home.notes}


def test_register_follows_links_and_keeps_where_they_lead(home: Home) -> None:
    (home.folder / "link").symlink_to(home.notes)
    assert home.run("register", home.folder / "link", "--alias", "plans").exit_code == 0
    assert home.roots() == {"plans": home.notes}


def test_registering_once_more_is_no_failure(home: Home) -> None:
    first, second = home.run("register", home.notes), home.run("register", home.notes)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert len(second.stdout.splitlines()) == 1, "no file was made"
    assert home.roots() == {"notes": home.notes}


@pytest.mark.parametrize(
    ("folder", "alias"),
    [
        ("my notes", "my-notes"),
        (".hidden", "hidden"),
        ("Ünïcode", "n-code"),
        ("茶", "workspace"),
        ("a.b_c-d", "a.b_c-d"),
        ("_private_", "private"),
        ("(2026) notes!", "2026-notes"),
    ],
)
def test_an_alias_is_made_of_the_name_of_the_folder(home: Home, folder: str, alias: str) -> None:
    (home.folder / folder).mkdir()
    assert f"type ::record-{alias} in a chat" in home.run("register", home.folder / folder).stdout
    assert home.roots() == {alias: home.folder / folder}


def test_a_name_that_is_too_long_for_an_alias_says_how_to_give_one(home: Home) -> None:
    long = home.folder / ("x" * 64)
    long.mkdir()
    (long / FILE).write_text('id = "wsp_00000000"\n')
    assert "--alias" in home.failed("register", long)
    assert home.run("register", long, "--alias", "short").exit_code == 0
    assert home.roots() == {"short": long}


@pytest.mark.parametrize("alias", ["a b", "-", "a/b", "ü", "x" * 64])
def test_what_cannot_be_an_alias_is_refused(home: Home, alias: str) -> None:
    home.run("init", home.notes)
    told = home.failed("register", home.notes, f"--alias={alias}")
    assert f"{alias!r} cannot be an alias: expected letters, digits, . _ and -" in told
    assert "Choose another: --alias" in told
    assert home.roots() == {}


def test_an_alias_that_is_taken_says_by_whom(home: Home) -> None:
    other = home.folder / "other"
    other.mkdir()
    for folder in (home.notes, other):
        home.run("init", folder)
    home.run("register", home.notes)
    told = home.failed("register", other, "--alias", "notes")
    assert told == (
        f"minoots workspace: the alias notes is taken by {home.notes}\n  Choose another: --alias\n"
    )
    assert home.roots() == {"notes": home.notes}


def test_a_folder_that_is_taken_says_by_which_alias(home: Home) -> None:
    home.run("register", home.notes)
    told = home.failed("register", home.notes, "--alias", "plans")
    assert f"{home.notes} is registered as notes" in told
    assert "minoots workspace unregister notes" in told


def test_a_workspace_whose_file_is_not_sound_is_not_registered(home: Home) -> None:
    (home.notes / FILE).write_text('id = "wsp_00000000"\nauto_recrod = true\n')
    told = home.failed("register", home.notes)
    assert told == (
        f"minoots workspace: {home.notes / FILE}: auto_recrod: expected no such field; got true\n"
        "  Correct the file.\n"
    )
    assert not home.file.exists()


def test_list_tells_how_each_workspace_stands(home: Home) -> None:
    home.run("register", home.notes)
    for alias in ("gone", "bad"):
        (home.folder / alias).mkdir()
        assert home.run("register", home.folder / alias).exit_code == 0
    (home.folder / "gone" / FILE).unlink()
    (home.folder / "bad" / FILE).write_text("id = 3")
    ran = home.run("list")
    assert (ran.exit_code, ran.stderr) == (0, "")
    heading, *rows = ran.stdout.splitlines()
    assert heading.split() == ["ALIAS", "FOLDER", "STATE"]
    assert [row.split()[:2] for row in rows] == [
        ["bad", str(home.folder / "bad")],
        ["gone", str(home.folder / "gone")],
        ["notes", str(home.notes)],
    ]
    assert rows[0].rstrip().endswith("; got 3")
    assert rows[1].rstrip().endswith("is missing")
    assert rows[2].rstrip().endswith("ready")


def test_list_without_workspaces_is_a_heading(home: Home) -> None:
    ran = home.run("list")
    assert (ran.exit_code, ran.stdout.split()) == (0, ["ALIAS", "FOLDER", "STATE"])
    assert not home.file.exists()


def test_unregister_forgets_a_workspace_and_leaves_its_files(home: Home) -> None:
    home.run("register", home.notes)
    ran = home.run("unregister", "notes")
    assert (ran.exit_code, ran.stdout) == (0, "notes is not registered any more\n")
    assert home.roots() == {}
    assert (home.notes / FILE).is_file()


def test_unregister_forgets_also_what_is_gone(home: Home) -> None:
    home.run("register", home.notes)
    (home.notes / FILE).unlink()
    home.notes.rmdir()
    assert home.run("unregister", "notes").exit_code == 0
    assert home.roots() == {}


def test_unregister_names_the_nearest(home: Home) -> None:
    home.run("register", home.notes)
    told = home.failed("unregister", "nots")
    assert "there is no workspace nots; the nearest is notes" in told
    assert home.roots() == {"notes": home.notes}


@pytest.mark.parametrize("arguments", [["list"], ["register", "notes"], ["unregister", "notes"]])
def test_a_damaged_registry_is_told_and_left_alone(home: Home, arguments: list[str]) -> None:
    home.run("init", home.notes)
    home.file.parent.mkdir()
    home.file.write_text("{damaged")
    told = home.failed(*arguments)
    assert f"the registry of workspaces {home.file} cannot be read" in told
    assert "minoots workspace register" in told
    assert home.file.read_text() == "{damaged"


@pytest.mark.parametrize("arguments", [["list"], ["register", "notes"], ["unregister", "notes"]])
def test_a_registry_that_cannot_be_is_told(home: Home, arguments: list[str]) -> None:
    home.run("init", home.notes)
    home.file.parent.write_text("a file")
    assert str(home.file) in home.failed(*arguments)


def test_a_disk_that_is_full_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    try:
        assert "No space left on device" in home.failed("init", home.notes)
    finally:
        assert list(home.notes.iterdir()) == []


@pytest.mark.parametrize("arguments", [["list"], ["register", "notes"], ["unregister", "notes"]])
def test_settings_that_are_not_valid_are_told(
    home: Home, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    home.run("init", home.notes)
    monkeypatch.setenv("MINOOTS_CAPTURE__SETTLE", "soon")
    told = home.failed(*arguments)
    assert "MINOOTS_CAPTURE__SETTLE" in told or "capture.settle" in told


def test_a_settings_file_may_name_the_registry(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINOOTS_CAPTURE__REGISTRY")
    (home.folder / "other.toml").write_text(f"[capture]\nregistry = {json.dumps(str(home.file))}\n")
    assert home.run("register", home.notes, "--config", home.folder / "other.toml").exit_code == 0
    assert home.roots() == {"notes": home.notes}
    assert "notes" in home.run("list", "--config", "other.toml").stdout
    assert home.run("unregister", "notes", "--config", "other.toml").exit_code == 0
    assert home.roots() == {}


def test_the_registry_is_in_the_home_of_the_user(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINOOTS_CAPTURE__REGISTRY")
    monkeypatch.setenv("HOME", str(home.folder))
    assert home.run("register", home.notes).exit_code == 0
    assert Registry(home.folder / ".minoots" / "workspaces.json").roots() == {"notes": home.notes}


def test_what_a_folder_is_called_drives_no_terminal(home: Home) -> None:
    strange = home.folder / "\x1b[31mred\nline"
    strange.mkdir()
    ran = home.run("register", strange, "--alias", "strange")
    assert ran.exit_code == 0
    assert "\x1b" not in ran.stdout + home.run("list").stdout
    assert home.roots() == {"strange": strange}


def test_the_list_is_for_programs_too(home: Home) -> None:
    home.run("register", home.notes, "--alias", "notes")
    [line] = home.run("list", "--json").stdout.splitlines()
    assert json.loads(line) == {"alias": "notes", "folder": str(home.notes), "state": "ready"}


def test_folders_outside_that_came_later_are_told_with_how_to_allow_them(home: Home) -> None:
    home.run("register", home.notes, "--alias", "notes")
    (home.folder / "src").mkdir()
    file = home.notes / FILE
    wanted = file.read_text().replace("auto_record = false", "auto_record = true")
    file.write_text(wanted.replace("auto_record_roots = []", 'auto_record_roots = ["../src", "inside"]'))
    again = f"minoots workspace register {home.notes} --alias notes"
    src = str(home.folder / "src")

    [line] = home.run("list", "--json").stdout.splitlines()
    state = json.loads(line)["state"]
    assert state.startswith(f"ready, but auto_record_roots names {src}: outside")
    assert again in state
    [problem] = Registry(home.file).problems()
    assert problem.startswith("not everything is recorded for notes:")
    assert again in problem
    [fault] = faults_of(load_settings(Path("/dev/null")))
    assert (fault.key, again in fault.remedy) == ("workspace notes", True)

    ran = home.run("register", home.notes, "--alias", "notes")
    assert f"what is said in {src} is recorded into it by itself" in ran.stdout
    assert home.run("list").stdout.splitlines()[1].rstrip().endswith("ready")
    assert Registry(home.file).problems() == []
    assert Registry(home.file).get("notes").holds(src)


def test_folders_outside_are_not_told_where_nothing_is_recorded_by_itself(home: Home) -> None:
    home.run("register", home.notes)
    file = home.notes / FILE
    file.write_text(file.read_text().replace("auto_record_roots = []", 'auto_record_roots = ["/src"]'))
    assert home.run("list").stdout.splitlines()[1].rstrip().endswith("ready")
    assert Registry(home.file).problems() == []

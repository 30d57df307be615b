"""The write gate and placing files behind it, on real folders: nothing outside of the roots is touched."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minoots_activities.capture import placing
from minoots_activities.capture.gate import Target, WriteDenied, WriteGate, folder_of

ASIDE = ".aside"


class Ground:
    """A root that is open for writing, a folder that is not, and what was audited."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.outside = folder / "outside"
        self.audited: list[tuple[str, str, str]] = []
        for made in (self.root, self.outside):
            made.mkdir()
        (self.outside / "old.md").write_text("theirs")
        self.gate = self.gate_of(self.root)

    def gate_of(self, *roots: Path) -> WriteGate:
        return WriteGate(roots, lambda *one: self.audited.append(one))

    def write(self, target: Target, data: bytes = b"x") -> None:
        """What a writer does with a target."""
        with folder_of(target, make=True) as folder:
            placing.about(folder, target.name)
            placing.put(folder, target.name, data, ASIDE)

    def is_untouched(self) -> bool:
        return {one.name: one.read_text() for one in self.outside.iterdir()} == {"old.md": "theirs"}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(Path(os.path.realpath(tmp_path)))


@pytest.fixture
def folder(ground: Ground) -> Iterator[int]:
    """A descriptor of the root."""
    handle = os.open(ground.root, os.O_RDONLY | os.O_DIRECTORY)
    yield handle
    os.close(handle)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    "name", ["notes.md", ".hidden", "..notes", "...", "a b.md", "ü🦉.md", "a\nb", "x" * 255]
)
def test_what_is_below_a_root_is_open(ground: Ground, name: str) -> None:
    target = ground.gate.judge(ground.root / name)
    assert (target.root, target.way, target.name) == (ground.root, (name,), name)
    ground.write(target, b"mine")
    assert (ground.root / name).read_bytes() == b"mine"
    assert [one.name for one in ground.root.iterdir()] == [name]


def test_without_roots_nothing_is_open(ground: Ground) -> None:
    for gate in (
        ground.gate_of(),
        ground.gate_of(ground.root / "missing"),
        ground.gate_of(Path("/dev/null")),
    ):
        with pytest.raises(WriteDenied, match=r"no folder is open for writing.*minoots workspace register"):
            gate.judge(ground.root / "missing" / "notes.md")


def test_a_root_that_is_missing_is_not_opened_when_it_comes_into_being(ground: Ground) -> None:
    gate = ground.gate_of(ground.root, ground.outside / "later")
    (ground.outside / "later").mkdir()
    with pytest.raises(WriteDenied):
        gate.judge(ground.outside / "later" / "notes.md")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "an absolute path is expected"),
        (".", "an absolute path is expected"),
        (" ", "a path is expected"),
        ("notes.md", "an absolute path is expected"),
        ("~/notes.md", "an absolute path is expected"),
        ("/", "not below a folder"),
        ("{root}", "not below a folder"),
        ("{root}/", "not below a folder"),
        ("{root}/a\x00.md", "a path is expected"),
        ("{root}/../outside/new.md", "leads out of a folder"),
        ("{root}/a/../b.md", "leads out of a folder"),
        ("{root}/..", "leads out of a folder"),
        ("{outside}/new.md", "not below a folder"),
        ("{root}bc/new.md", "not below a folder"),
        ("{root} /new.md", "not below a folder"),
        ("{root}/" + "x" * 256, "longer than 255 bytes"),
        ("{root}/" + "ü" * 128, "longer than 255 bytes"),
        ("{root}/" + "x" * 256 + "/a.md", "longer than 255 bytes"),
    ],
)
def test_what_is_denied_and_why(ground: Ground, name: str, reason: str) -> None:
    path = Path(name.replace("{root}", str(ground.root)).replace("{outside}", str(ground.outside)))
    with pytest.raises(WriteDenied, match=reason) as denied:
        ground.gate.judge(path)
    assert ground.audited == [("deny", str(path), str(denied.value))]


def test_a_name_that_no_file_can_have_is_denied(ground: Ground) -> None:
    with pytest.raises(WriteDenied):
        ground.gate.judge(ground.root / "\ud800.md")


@pytest.mark.parametrize("sibling", ["rootbc", "root-2", "root.old", "roo", "ROOT"])
def test_a_name_that_begins_alike_is_another_folder(ground: Ground, sibling: str) -> None:
    other = ground.root.with_name(sibling)
    other.mkdir(exist_ok=True)
    if other.samefile(ground.root):
        pytest.skip("names here do not tell capitals")
    with pytest.raises(WriteDenied):
        ground.gate.judge(other / "new.md")


def test_a_denial_names_the_folders_that_are_open(ground: Ground) -> None:
    second = ground.root.with_name("second")
    second.mkdir()
    with pytest.raises(WriteDenied, match=f"{ground.root}, {second}$"):
        ground.gate_of(ground.root, second).judge(ground.outside / "new.md")


def test_every_judgement_is_audited(ground: Ground) -> None:
    ground.gate.judge(ground.root / "a.md")
    with pytest.raises(WriteDenied):
        ground.gate.judge(Path("b.md"))
    ground.gate.judge(ground.root / "a.md")
    assert ground.audited == [
        ("allow", str(ground.root / "a.md"), f"below {ground.root}"),
        ("deny", "b.md", "an absolute path is expected"),
        ("allow", str(ground.root / "a.md"), f"below {ground.root}"),
    ]


def test_an_audit_that_fails_lets_nothing_through(ground: Ground) -> None:
    def broken(*_: str) -> None:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        WriteGate([ground.root], broken).judge(ground.root / "a.md")


def test_of_nested_roots_the_innermost_counts(ground: Ground) -> None:
    inner = ground.root / "a" / "b"
    inner.mkdir(parents=True)
    for roots in ((ground.root, inner), (inner, ground.root)):
        gate = ground.gate_of(*roots)
        assert gate.judge(inner / "c" / "x.md") == Target(inner, ("c", "x.md"))
        assert gate.judge(ground.root / "a" / "x.md") == Target(ground.root, ("a", "x.md"))
        assert gate.judge(inner) == Target(ground.root, ("a", "b")), "below the outer one"


def test_a_root_that_is_a_link_is_judged_by_where_it_leads(ground: Ground) -> None:
    link = ground.root.with_name("link")
    link.symlink_to(ground.root)
    gate = ground.gate_of(link)
    for path in (link / "a.md", ground.root / "a.md"):
        assert gate.judge(path) == Target(ground.root, ("a.md",))
    link.unlink()
    link.symlink_to(ground.outside)
    with pytest.raises(WriteDenied):
        gate.judge(link / "a.md")


@pytest.mark.parametrize(
    ("link", "to", "path"),
    [
        ("out.md", "../outside/old.md", "out.md"),
        ("dangling.md", "../outside/new.md", "dangling.md"),
        ("far.md", "../outside/no/such/folder/new.md", "far.md"),
        ("folder", "../outside", "folder/old.md"),
        ("folder", "../outside", "folder/new/new.md"),
        ("folder", "../outside/new", "folder/new.md"),
        ("up", "..", "up/outside/new.md"),
        ("same", "..", "same/root/../outside/new.md"),
        ("self", ".", "self"),
    ],
)
def test_a_link_is_judged_by_where_it_leads(ground: Ground, link: str, to: str, path: str) -> None:
    (ground.root / link).symlink_to(to)
    with pytest.raises(WriteDenied):
        ground.gate.judge(ground.root / path)
    assert [decision for decision, _, _ in ground.audited] == ["deny"]
    assert ground.is_untouched()


def test_a_chain_of_links_is_judged_by_its_end(ground: Ground) -> None:
    (ground.root / "a").symlink_to("b")
    (ground.root / "b").symlink_to(ground.root / "c")
    (ground.root / "c").symlink_to(ground.outside / "new.md")
    with pytest.raises(WriteDenied):
        ground.gate.judge(ground.root / "a")


def test_a_link_that_stays_inside_is_followed(ground: Ground) -> None:
    (ground.root / "real").mkdir()
    (ground.root / "linked").symlink_to("real")
    (ground.root / "latest.md").symlink_to("real/new.md")
    assert ground.gate.judge(ground.root / "linked" / "x.md").way == ("real", "x.md")
    target = ground.gate.judge(ground.root / "latest.md")
    ground.write(target, b"mine")
    assert (ground.root / "latest.md").is_symlink()
    assert (ground.root / "real" / "new.md").read_bytes() == b"mine"


def test_a_link_from_outside_leads_in(ground: Ground) -> None:
    way_in = ground.root.with_name("way in")
    way_in.symlink_to(ground.root)
    assert ground.gate.judge(way_in / "a.md") == Target(ground.root, ("a.md",))


def test_nothing_is_written_through_links_that_lead_in_a_circle(ground: Ground) -> None:
    (ground.root / "a").symlink_to("b")
    (ground.root / "b").symlink_to("a")
    with pytest.raises(WriteDenied):
        ground.write(ground.gate.judge(ground.root / "a"))
    assert (ground.root / "a").is_symlink()


def test_links_in_a_circle_lead_nowhere_else(ground: Ground) -> None:
    (ground.root / "a").symlink_to("a")
    (ground.root / "out").symlink_to("a/../../outside/new.md")
    with pytest.raises(WriteDenied):
        ground.gate.judge(ground.root / "out")


def test_a_path_that_is_too_long_as_a_whole_is_no_way_out(ground: Ground) -> None:
    way = ["x" * 200] * 30
    with pytest.raises(WriteDenied):
        ground.gate.judge(ground.outside.joinpath(*way))
    with pytest.raises(WriteDenied, match="longer than"):
        ground.gate.judge(ground.root.joinpath(*way))


def test_missing_folders_are_made_on_the_way(ground: Ground) -> None:
    ground.write(ground.gate.judge(ground.root / "a" / "..b" / "c.md"), b"mine")
    assert (ground.root / "a" / "..b" / "c.md").read_bytes() == b"mine"


def test_a_file_next_to_a_target_is_in_the_same_root(ground: Ground) -> None:
    beside = ground.gate.judge(ground.root / "a" / "b.md").beside("b.files", "1.png")
    assert beside == Target(ground.root, ("a", "b.files", "1.png"))
    ground.write(beside)
    assert (ground.root / "a" / "b.files" / "1.png").read_bytes() == b"x"


def swapped(path: Path, to: Path) -> None:
    """Put a link in place of what is there, as somebody does between two looks."""
    if path.exists():
        path.rename(path.with_name(f"{path.name} of before"))
    path.symlink_to(to)


def test_a_file_that_becomes_a_link_after_the_judgement_is_denied(ground: Ground) -> None:
    path = ground.root / "a.md"
    path.write_text("mine")
    target = ground.gate.judge(path)
    swapped(path, ground.outside / "old.md")
    with folder_of(target, make=True) as folder:
        with pytest.raises(WriteDenied, match="no regular file"):
            placing.about(folder, target.name)
        attempts: list[Callable[[], object]] = [
            lambda: placing.append(folder, target.name, b"x"),
            lambda: placing.shorten(folder, target.name, 0),
            lambda: placing.content(folder, target.name),
        ]
        for attempt in attempts:
            with pytest.raises(OSError, match="symbolic") as refused:
                attempt()
            assert refused.value.errno == errno.ELOOP
        with pytest.raises(WriteDenied, match="no regular file"):
            placing.put(folder, target.name, b"mine", ASIDE)
    assert {one.name for one in ground.root.iterdir()} == {"a.md", "a.md of before"}
    assert ground.is_untouched()


def test_a_missing_file_whose_name_becomes_a_dangling_link_is_not_made_where_it_leads(ground: Ground) -> None:
    target = ground.gate.judge(ground.root / "a.md")
    (ground.root / "a.md").symlink_to(ground.outside / "new.md")
    (ground.root / ASIDE).symlink_to(ground.outside / "aside")
    with folder_of(target, make=True) as folder:
        with pytest.raises(OSError, match="symbolic"):
            placing.append(folder, target.name, b"x")
        with pytest.raises(WriteDenied, match="no regular file"):
            placing.put(folder, target.name, b"mine", ASIDE)
    assert ground.is_untouched()


@pytest.mark.parametrize("make", [True, False])
@pytest.mark.parametrize("swap", ["a", "a/b"])
@pytest.mark.parametrize("existed", [True, False])
def test_nothing_outside_is_made_through_a_folder_that_becomes_a_link(
    ground: Ground, swap: str, make: bool, existed: bool
) -> None:
    if existed:
        (ground.root / "a" / "b").mkdir(parents=True)
    target = ground.gate.judge(ground.root / "a" / "b" / "new.md")
    (ground.root / swap).parent.mkdir(exist_ok=True)
    swapped(ground.root / swap, ground.outside)
    with pytest.raises((WriteDenied, OSError)), folder_of(target, make=make):
        raise AssertionError("it was entered")
    assert ground.is_untouched()


@pytest.mark.parametrize("make", [True, False])
def test_a_folder_that_becomes_a_link_after_the_judgement_is_denied(ground: Ground, make: bool) -> None:
    (ground.root / "a").mkdir()
    target = ground.gate.judge(ground.root / "a" / "new.md")
    swapped(ground.root / "a", ground.outside)
    with pytest.raises(WriteDenied, match="a on the way"), folder_of(target, make=make):
        pass


@pytest.mark.parametrize("make", [True, False])
def test_a_file_on_the_way_is_no_folder(ground: Ground, make: bool) -> None:
    (ground.root / "a").write_text("a file")
    target = ground.gate.judge(ground.root / "a" / "new.md")
    with pytest.raises(WriteDenied, match="a on the way is no folder"), folder_of(target, make=make):
        pass


def test_links_in_a_circle_on_the_way_are_denied(ground: Ground) -> None:
    (ground.root / "a").symlink_to("a")
    with pytest.raises(WriteDenied, match="a on the way"):
        ground.write(ground.gate.judge(ground.root / "a" / "x.md"))


def test_a_folder_that_is_missing_is_told_as_missing(ground: Ground) -> None:
    target = ground.gate.judge(ground.root / "a" / "new.md")
    with pytest.raises(FileNotFoundError), folder_of(target, make=False):
        pass


def test_a_failure_on_the_way_closes_no_descriptor_of_somebody_else(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ground.root / "a").write_text("a file")
    target = ground.gate.judge(ground.root / "a" / "new.md")
    theirs: list[int] = []
    close = os.close

    def closed(handle: int) -> None:
        close(handle)
        if not theirs:
            # As another thread does: the next descriptor has the same number.
            theirs.append(os.open("/dev/null", os.O_RDONLY))

    monkeypatch.setattr(os, "close", closed)
    with pytest.raises((WriteDenied, OSError)), folder_of(target, make=False):
        pass
    monkeypatch.undo()
    os.close(theirs[0])


def test_descriptors_are_given_back(ground: Ground) -> None:
    (ground.root / "file").write_text("a file")
    good = ground.gate.judge(ground.root / "a" / "b" / "c.md")
    bad = ground.gate.judge(ground.root / "file" / "b" / "c.md")
    before = open_files()
    for _ in range(5):
        ground.write(good)
        with pytest.raises((WriteDenied, OSError)):
            ground.write(bad)
        with pytest.raises(ZeroDivisionError), folder_of(good, make=False):
            raise ZeroDivisionError
    assert open_files() == before


def test_a_root_that_becomes_a_link_after_the_judgement_is_not_followed(ground: Ground) -> None:
    target = ground.gate.judge(ground.root / "new.md")
    swapped(ground.root, ground.outside)
    with pytest.raises((WriteDenied, OSError)):
        ground.write(target)
    assert ground.is_untouched()


def test_a_folder_of_the_outer_root_that_becomes_a_link_leads_nowhere(ground: Ground) -> None:
    inner = ground.root / "a" / "inner"
    inner.mkdir(parents=True)
    (ground.outside / "inner").mkdir()
    target = ground.gate_of(ground.root, inner).judge(inner / "new.md")
    swapped(ground.root / "a", ground.outside)
    with pytest.raises((WriteDenied, OSError)):
        ground.write(target)
    assert list((ground.outside / "inner").iterdir()) == []


NAMES = st.sampled_from(["a", "b", "..", ".", "...", "link", "out", "old.md", "", "loop", "..x", "a b"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(NAMES, max_size=5),
    st.dictionaries(st.sampled_from(["a", "b", "link"]), st.lists(NAMES), max_size=3),
)
def test_no_path_and_no_links_lead_out(
    tmp_path_factory: pytest.TempPathFactory, way: list[str], links: dict[str, list[str]]
) -> None:
    ground = Ground(Path(os.path.realpath(tmp_path_factory.mktemp("ground"))))
    (ground.root / "out").symlink_to(ground.outside)
    (ground.root / "loop").symlink_to("loop")
    for name, to in links.items():
        (ground.root / name).symlink_to("/".join(to) or ".")
    try:
        ground.write(ground.gate.judge(Path("/".join([str(ground.root), *way]))))
    except (WriteDenied, OSError):
        pass
    else:
        assert [decision for decision, _, _ in ground.audited] == ["allow"]
    assert ground.is_untouched()
    assert {one.name for one in ground.root.parent.iterdir()} == {"root", "outside"}


def put(folder: int, name: str, data: bytes = b"new") -> os.stat_result:
    return placing.put(folder, name, data, ASIDE)


def test_what_is_put_is_there_as_a_whole(ground: Ground, folder: int) -> None:
    assert placing.about(folder, "a.md") is None
    for data in (b"first", b"", b"a longer second\n" * 10_000):
        found = put(folder, "a.md", data)
        assert found == placing.about(folder, "a.md")
        assert (found.st_size, placing.content(folder, "a.md")) == (len(data), data)
    assert [one.name for one in ground.root.iterdir()] == ["a.md"]


def test_what_is_appended_stands_behind_the_rest(ground: Ground, folder: int) -> None:
    put(folder, "a.md", b"one ")
    assert placing.append(folder, "a.md", b"two ").st_size == 8
    assert placing.append(folder, "a.md", b"").st_size == 8
    (ground.root / "a.md").write_bytes(b"theirs ")
    assert placing.append(folder, "a.md", b"three").st_size == 12
    assert placing.content(folder, "a.md") == b"theirs three"


def test_only_what_exists_is_appended_to(ground: Ground, folder: int) -> None:
    with pytest.raises(FileNotFoundError):
        placing.append(folder, "a.md", b"x")
    with pytest.raises(FileNotFoundError):
        placing.shorten(folder, "a.md", 0)
    assert list(ground.root.iterdir()) == []


@pytest.mark.parametrize(
    ("begin", "length", "expected"),
    [
        (0, None, b"0123456789"),
        (3, None, b"3456789"),
        (3, 2, b"34"),
        (8, 9, b"89"),
        (20, 5, b""),
        (0, 0, b""),
    ],
)
def test_pieces_of_a_file(folder: int, begin: int, length: int | None, expected: bytes) -> None:
    put(folder, "a.md", b"0123456789")
    assert placing.content(folder, "a.md", begin, length) == expected


def test_a_file_is_cut_off(folder: int) -> None:
    put(folder, "a.md", b"0123456789")
    placing.shorten(folder, "a.md", 4)
    assert placing.content(folder, "a.md") == b"0123"


def test_what_is_not_there_is_forgotten_too(ground: Ground, folder: int) -> None:
    put(folder, "a.md")
    for _ in range(2):
        placing.forget(folder, "a.md")
    assert list(ground.root.iterdir()) == []


def test_a_link_is_forgotten_and_not_what_it_leads_to(ground: Ground, folder: int) -> None:
    (ground.root / "a.md").symlink_to(ground.outside / "old.md")
    placing.forget(folder, "a.md")
    assert list(ground.root.iterdir()) == []
    assert ground.is_untouched()


@pytest.mark.parametrize("to", ["old.md", "new.md"])
def test_a_link_that_is_put_there_at_the_last_moment_is_replaced_and_not_followed(
    ground: Ground, folder: int, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    rename = os.rename

    def late(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        (ground.root / "a.md").symlink_to(ground.outside / to)
        rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", late)
    put(folder, "a.md", b"mine")
    assert (ground.root / "a.md").is_symlink() is False
    assert (ground.root / "a.md").read_bytes() == b"mine"
    assert ground.is_untouched()


def made_link(path: Path) -> None:
    path.symlink_to(path.parent.with_name("outside") / "old.md")


def made_dangling(path: Path) -> None:
    path.symlink_to(path.parent.with_name("outside") / "new.md")


@pytest.mark.parametrize("make", [made_link, made_dangling, Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_written_to(ground: Ground, folder: int, make: Callable[[Path], None]) -> None:
    make(ground.root / "a.md")
    before = os.lstat(ground.root / "a.md")
    with pytest.raises(WriteDenied, match=r"a\.md is no regular file"):
        placing.about(folder, "a.md")
    attempts: list[Callable[[], object]] = [
        lambda: placing.append(folder, "a.md", b"x"),
        lambda: placing.shorten(folder, "a.md", 0),
        lambda: placing.content(folder, "a.md"),
    ]
    for attempt in attempts:
        with pytest.raises((OSError, WriteDenied)):  # each kind fails in its own way; none hangs
            attempt()
    assert os.lstat(ground.root / "a.md").st_ino == before.st_ino
    assert ground.is_untouched()


def test_a_pipe_that_somebody_reads_is_given_nothing(ground: Ground, folder: int) -> None:
    os.mkfifo(ground.root / "a.md")
    reading = os.open(ground.root / "a.md", os.O_RDONLY | os.O_NONBLOCK)
    try:
        for attempt in (
            lambda: placing.append(folder, "a.md", b"secret"),
            lambda: placing.shorten(folder, "a.md", 0),
            lambda: placing.content(folder, "a.md"),
        ):
            with pytest.raises(WriteDenied, match="no regular file"):
                attempt()
        assert os.read(reading, 100) == b""
    finally:
        os.close(reading)


def test_a_file_that_changes_while_it_is_put_is_left_as_it_is(ground: Ground, folder: int) -> None:
    for before in (None, b"old"):
        if before is not None:
            (ground.root / "a.md").write_bytes(before)
        found = placing.about(folder, "a.md")
        (ground.root / "a.md").write_bytes(b"somebody's own")
        with pytest.raises(OSError, match="somebody is writing into it"):
            placing.put(folder, "a.md", b"x", ASIDE, lambda: placing.unchanged(folder, "a.md", found))  # noqa: B023
        assert {one.name: one.read_bytes() for one in ground.root.iterdir()} == {"a.md": b"somebody's own"}
        found = placing.about(folder, "a.md")
        (ground.root / "a.md").unlink()


def test_reading_what_is_a_folder_keeps_nothing_open(ground: Ground, folder: int) -> None:
    (ground.root / "a.md").mkdir()
    before = open_files()
    for _ in range(3):
        with pytest.raises(IsADirectoryError):
            placing.content(folder, "a.md")
    left = open_files() - before
    for handle in range(folder + 1, folder + 1 + left):
        os.close(handle)
    assert left == 0


@pytest.mark.parametrize("make", [made_link, made_dangling, os.mkfifo])
def test_something_in_the_place_of_the_aside_is_in_nobodys_way(
    ground: Ground, folder: int, make: Callable[[Path], None]
) -> None:
    make(ground.root / ASIDE)
    put(folder, "a.md", b"mine")
    assert {one.name: one.read_bytes() for one in ground.root.iterdir()} == {"a.md": b"mine"}
    assert ground.is_untouched()


@pytest.mark.parametrize("at", ["a.md", ASIDE])
def test_a_folder_is_replaced_by_no_file(ground: Ground, folder: int, at: str) -> None:
    (ground.root / at).mkdir()
    with pytest.raises((WriteDenied, OSError), match=r"no regular file|directory|permitted"):
        put(folder, "a.md")
    assert [one.name for one in ground.root.iterdir()] == [at]


@pytest.fixture
def _few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing as it goes over a slow network: few bytes at a time."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, bytes(data)[:7]))


@pytest.mark.usefixtures("_few_bytes")
def test_writing_that_takes_few_bytes_at_a_time_writes_all(folder: int) -> None:
    data = os.urandom(1000)
    assert put(folder, "a.md", data).st_size == 1000
    assert placing.append(folder, "a.md", data).st_size == 2000
    assert placing.content(folder, "a.md") == data + data


def fill(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Have the disk be full after some bytes."""
    write, left = os.write, after

    def full(handle: int, data: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = write(handle, bytes(data)[:left])
        left -= done
        return done

    monkeypatch.setattr(os, "write", full)


@pytest.mark.parametrize("after", [0, 1, 99])
def test_a_disk_that_is_full_leaves_the_old_file_whole(
    ground: Ground, folder: int, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    before, opened = put(folder, "a.md", b"old"), open_files()
    with monkeypatch.context() as full:
        fill(full, after)
        with pytest.raises(OSError, match="No space") as failed:
            put(folder, "a.md", b"n" * 100)
    assert failed.value.errno == errno.ENOSPC
    assert {one.name: one.read_bytes() for one in ground.root.iterdir()} == {"a.md": b"old"}
    placing.unchanged(folder, "a.md", before)  # raises where it is another
    assert open_files() == opened


@pytest.mark.parametrize("call", ["fsync", "rename"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken disk"), KeyboardInterrupt()])
def test_whatever_fails_before_it_is_in_place_leaves_the_old_file_whole(
    ground: Ground, folder: int, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException
) -> None:
    put(folder, "a.md", b"old")

    def broken(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as failing:
        failing.setattr(os, call, broken)
        with pytest.raises(type(error)):
            put(folder, "a.md", b"new")
    assert {one.name: one.read_bytes() for one in ground.root.iterdir()} == {"a.md": b"old"}


def test_the_old_file_is_there_until_the_new_one_is_whole(
    ground: Ground, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "a.md", b"old")
    seen: list[bytes] = []
    fsync = os.fsync

    def looking(handle: int) -> None:
        seen.append((ground.root / "a.md").read_bytes())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", looking)
    put(folder, "a.md", b"new")
    assert seen == [b"old", b"new"], "the file before it is in place, the folder after that"


def test_a_file_that_is_put_anew_is_open_to_no_more_people(ground: Ground, folder: int) -> None:
    put(folder, "a.md", b"old")
    (ground.root / "a.md").chmod(0o600)
    put(folder, "a.md", b"new")
    assert stat.S_IMODE((ground.root / "a.md").stat().st_mode) == 0o600

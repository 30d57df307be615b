"""The `minoots` command: what it sends, what it prints, and what it tells the shell."""

import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint, entry_points

import pytest
import typer
from starlette.responses import StreamingResponse
from typer.testing import CliRunner

from minoots import errors
from minoots.cli import exits, moments, plugins, summaries
from minoots.cli.root import app, run
from minoots.contracts import Problem

HOOK = "https://example.com/hook"
BUILT_IN = {
    "timers": "minoots.cli.timers:app",
    "events": "minoots.cli.events:app",
    "secrets": "minoots.cli.secrets:app",
    "dead-letters": "minoots.cli.dead_letters:app",
    "destinations": "minoots.cli.destinations:app",
    "models": "minoots.cli.models:app",
    "usage": "minoots.cli.models:usage",
}


def points(**more):
    return {name: EntryPoint(name, value, plugins.GROUP) for name, value in (BUILT_IN | more).items()}


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    monkeypatch.setattr(plugins, "found", points)
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def cli(gateway):
    def invoke(*arguments, **more):
        return CliRunner().invoke(app, ["--url", gateway.url, *arguments], **more)

    return invoke


def process(*arguments, **more):
    code = "from minoots.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, **more
    )


def test_create_sends_what_the_options_say(cli, gateway, make, tmp_path):
    gateway.answer("POST", "/v1/timers", make.reply(make.timer(), 201))
    payload = tmp_path / "payload.json"
    payload.write_text('{"cups": 2}')
    done = cli(
        "timers", "create", "tea", "--after", "4m", "--webhook", HOOK, "--payload", f"@{payload}",
        "--label", "room=kitchen", "--label", "who:me", "--header", "X-A: b", "--secret", "main",
        "--attempts", "3", "--misfire", "skip", "--idempotency-key", "mine", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["id"] == "tmr_1"
    assert gateway.seen[0].key == "mine"
    assert gateway.seen[0].body == {
        "name": "tea",
        "after": "4m",
        "payload": {"cups": 2},
        "actions": [{"kind": "webhook", "url": HOOK, "secret": "main", "headers": {"X-A": "b"}}],
        "retry": {"attempts": 3},
        "misfire": {"policy": "skip"},
        "labels": {"room": "kitchen", "who": "me"},
    }


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "fire"])
def test_verbs_post_and_show_the_timer(cli, gateway, make, verb):
    gateway.answer("POST", f"/v1/timers/tmr_1/{verb}", make.reply(make.timer(name="green tea")))
    done = cli("timers", verb, "tmr_1")
    assert done.exit_code == 0, done.output
    assert "green tea" in done.stdout


def test_snooze_sends_the_duration(cli, gateway, make):
    gateway.answer("POST", "/v1/timers/tmr_1/snooze", make.reply(make.timer()))
    assert cli("timers", "snooze", "tmr_1", "10m").exit_code == 0
    assert gateway.seen[0].body == {"after": "10m"}


def test_list_prints_a_table_or_one_object_a_line(cli, gateway, make):
    due = (datetime.now(UTC) + timedelta(minutes=5, seconds=2)).isoformat()
    items = [make.timer("tmr_1", fire_at=due), make.timer("tmr_2", name="x" * 150)]
    gateway.answer("GET", "/v1/timers", make.reply({"items": items}))
    table = cli("timers", "list", "--state", "armed", "--desc").stdout.splitlines()
    assert table[0].split() == ["ID", "NAME", "STATE", "DUE", "LATE"]
    assert re.search(r"tmr_1 +tea +armed .*\(in 5m", table[1])
    assert "x" * 150 in table[2]
    rows = [json.loads(line) for line in cli("--json", "timers", "list").stdout.splitlines()]
    assert [row["id"] for row in rows] == ["tmr_1", "tmr_2"]
    assert ("sort", "-due") in gateway.seen[0].query


def test_a_limit_stops_between_pages(cli, gateway, make):
    page = {"items": [make.timer("tmr_1"), make.timer("tmr_2")], "next_cursor": "c1"}
    gateway.answer("GET", "/v1/timers", make.reply(page))
    assert len(cli("timers", "list", "-n", "2", "--json").stdout.splitlines()) == 2
    assert len(gateway.seen) == 1


def test_a_name_cannot_drive_the_terminal(cli, gateway, make):
    nasty = make.timer(name="\x1b]0;owned\x07[red]\u202e\nx")
    gateway.answer("GET", "/v1/timers/tmr_1", make.reply(nasty))
    shown = cli("timers", "show", "tmr_1").stdout
    assert not re.search(r"[\x1b\x07\u202e]", shown)
    assert "[red]" in shown


def test_why_tells_the_story(cli, gateway, make):
    now = datetime.now(UTC).isoformat()
    why = {
        "id": "tmr_1", "state": "paused", "summary": "Paused by key_1.", "late_by_ms": 12.5,
        "late_because": "it was paused", "history": [{"at": now, "what": "scheduled"}],
    }  # fmt: skip
    gateway.answer("GET", "/v1/timers/tmr_1/why", make.reply(why))
    shown = cli("timers", "why", "tmr_1").stdout
    assert shown.startswith("Paused by key_1.\n")
    assert "by 12.5 ms; it was paused" in shown
    assert "scheduled" in shown


@pytest.mark.parametrize(("state", "code"), [("settled", 0), ("failed", 8), ("cancelled", 8)])
def test_wait_tells_how_it_ended(cli, gateway, make, state, code):
    gateway.answer("GET", "/v1/timers/tmr_1", make.reply(make.timer(state=state)))
    assert cli("timers", "wait", "tmr_1").exit_code == code


def test_wait_that_takes_too_long_exits_6(cli, gateway, make):
    gateway.answer("GET", "/v1/timers/tmr_1", make.reply(make.timer()))
    done = cli("timers", "wait", "tmr_1", "--timeout", "0s")
    assert done.exit_code == 6
    assert "wait longer" in done.stderr


def stream(*events):
    async def body():
        for event in events:
            yield f"id: {event['sequence']}\ndata: {json.dumps(event)}\n\n".encode()

    return lambda seen: StreamingResponse(body(), media_type="text/event-stream")


def test_watch_shows_history_then_follows_to_the_end(cli, gateway, make):
    gateway.answer(
        "GET", "/v1/timers/tmr_1/events", make.reply({"items": [make.event(4, "timer.scheduled")]})
    )
    gateway.answer(
        "GET", "/v1/events/stream", stream(make.event(5), make.event(7, "timer.settled"), make.event(8))
    )
    done = cli("timers", "watch", "tmr_1", "--json")
    assert done.exit_code == 0, done.output
    assert [json.loads(line)["sequence"] for line in done.stdout.splitlines()] == [4, 5, 7]
    assert gateway.seen[1].headers["last-event-id"] == "4"
    assert gateway.seen[1].query == [("subject", "tmr_1")]


def test_tail_ends_after_its_limit(cli, gateway, make):
    gateway.answer("GET", "/v1/events/stream", stream(make.event(1), make.event(2), make.event(3)))
    done = cli("events", "tail", "--after", "0", "-n", "2", "--type", "timer.fired", "--label", "a=b")
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["1", "2"]
    assert gateway.seen[0].query == [("type", "timer.fired"), ("label", "a:b")]


def test_secrets_show_the_key_once(cli, gateway, make):
    version = {"version": 1, "public_key": "whpk_x", "created_at": datetime.now(UTC).isoformat()}
    made = {"name": "main", "versions": [version], "key": "whsec_y"}
    gateway.answer("POST", "/v1/secrets", make.reply(made, 201))
    gateway.answer("POST", "/v1/secrets/main/rotate", make.reply(made))
    gateway.answer("GET", "/v1/secrets", make.reply({"items": [made]}))
    assert "whsec_y" in cli("secrets", "create", "main").stdout
    assert (
        json.loads(cli("secrets", "rotate", "main", "--overlap", "1h", "--json").stdout)["key"] == "whsec_y"
    )
    assert gateway.seen[1].body == {"overlap": "1h"}
    listed = cli("secrets", "list").stdout
    assert "whpk_x" in listed
    assert "whsec_y" not in listed


def test_dead_letters_are_listed_and_replayed(cli, gateway, make):
    now = datetime.now(UTC).isoformat()
    letter = {
        "id": "dlv_1", "timer_id": "tmr_1", "timer_name": "tea", "action": 0, "url": HOOK,
        "webhook_id": "w", "attempts": 10, "error": "timeout", "died_at": now,
    }  # fmt: skip
    gateway.answer("GET", "/v1/dead-letters", make.reply({"items": [letter]}))
    gateway.answer(
        "POST", "/v1/dead-letters/dlv_1/replay", make.reply({"delivery_id": "dlv_2", "replay_of": "dlv_1"})
    )
    replay = {
        "id": "rpl_1", "state": "running", "total": 3, "replayed": 0, "skipped": 0, "created_at": now
    }  # fmt: skip
    gateway.answer("POST", "/v1/dead-letters/replay", make.reply(replay, 202))
    assert "timeout" in cli("dead-letters", "list", "--error", "timeout").stdout
    assert gateway.seen[0].query == [("error", "timeout")]
    assert "dlv_1 is sent again as dlv_2" in cli("dead-letters", "replay", "dlv_1").stdout
    assert "rpl_1: 3 dead letters match" in cli("dead-letters", "replay", "--timer-name", "tea").stdout
    assert gateway.seen[2].body == {"timer_name": "tea"}
    assert cli("dead-letters", "replay").exit_code == 2


def test_destinations_are_limited_opened_and_closed(cli, gateway, make):
    now = datetime.now(UTC).isoformat()
    one = {
        "id": "dst_1", "url": HOOK, "state": "open", "reason": "we deploy", "changed_at": now,
        "probe_at": now, "rate": {"requests": 5, "per": "1s"}, "concurrency": 2, "sending": 1, "waiting": 3,
    }  # fmt: skip
    gateway.answer("GET", "/v1/destinations", make.reply({"items": [one]}))
    for path in ("", "/dst_1/open", "/dst_1/close"):
        gateway.answer("POST", f"/v1/destinations{path}", make.reply(one))
    assert "5 per 1s, 2 at a time" in cli("destinations", "list").stdout
    options = ("--requests", "5", "--concurrency", "2", "--open-for", "1m", "--disable-after", "0")
    shown = cli("destinations", "save", HOOK, *options).stdout
    assert "we deploy" in shown
    assert "1 under way, 3 waiting" in shown
    assert gateway.seen[1].body == {
        "url": HOOK,
        "rate": {"requests": 5, "per": "1s"},
        "concurrency": 2,
        "circuit": {"open_for": "1m", "disable_after": None},
    }
    cli("destinations", "save", HOOK, "--no-circuit")
    assert gateway.seen[2].body == {"url": HOOK, "circuit": {"enabled": False}}
    cli("destinations", "open", "dst_1", "--reason", "we deploy")
    assert gateway.seen[3].body == {"reason": "we deploy"}
    assert cli("destinations", "close", "dst_1").exit_code == 0
    assert cli("destinations", "save", HOOK, "--requests", "0").exit_code != 0


def test_models_say_where_they_are_and_what_is_wrong(cli, gateway, make):
    model = {
        "provider": "ollama",
        "name": "qwen3:8b",
        "local": True,
        "default": True,
        "context_tokens": 40960,
    }
    providers = [
        {"name": "ollama", "kind": "ollama", "local": True, "well": True, "models": [model]},
        {"name": "openai", "kind": "openai", "local": False, "well": False, "problem": "a key", "models": []},
    ]
    answer = {"locality": "local_only", "providers": providers}
    gateway.answer("GET", "/v1/models", make.reply(answer), make.reply(answer))
    shown = cli("models").stdout
    assert "qwen3:8b (default)" in shown
    assert "40960" in shown
    assert "a key" in shown
    assert json.loads(cli("models", "--json").stdout)["providers"][0]["models"][0]["name"] == "qwen3:8b"


def test_usage_shows_money_and_what_is_left(cli, gateway, make):
    counts = {
        "calls": 2,
        "input_tokens": 100,
        "output_tokens": 7,
        "cached_tokens": 0,
        "cost_micros": 1_500_000,
    }
    answer = {
        "since": "2026-11-01",
        "until": "2026-11-22",
        "currency": "USD",
        "total": counts,
        "items": [{**counts, "model": "gpt-5"}],
        "budgets": [
            {"of": "tenant", "day": "2026-11-22", "cost_micros": 5_000_000, "cost_micros_left": 3_500_000}
        ],
    }
    gateway.answer("GET", "/v1/usage", make.reply(answer))
    done = cli("usage", "--by", "model", "--since", "2026-11-01")
    assert done.exit_code == 0, done.output
    assert "1.5000 USD" in done.stdout
    assert "tenant: 3.5000 USD of 5.0000 USD are left today" in done.stdout
    assert gateway.seen[0].query == [("since", "2026-11-01"), ("by", "model")]
    assert cli("usage", "--since", "yesterday").exit_code == 2


def test_a_body_is_looked_at_before_it_is_sent(cli, gateway, make, tmp_path):
    made = {"content_type": "text/plain", "body": "Dear Ada"}
    gateway.answer("POST", "/v1/templates/preview", make.reply(made))
    template = tmp_path / "body.liquid"
    template.write_text("Dear {{ payload.name }}")
    payload = ("--payload", '{"name": "Ada"}', "--content-type", "text/plain")
    assert cli("timers", "preview-body", f"@{template}", *payload).stdout == "Dear Ada\n"
    assert gateway.seen[0].body == {
        "body": {"template": "Dear {{ payload.name }}", "content_type": "text/plain"},
        "payload": {"name": "Ada"},
    }
    assert cli("timers", "preview-body", "@/nowhere").exit_code == 2


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (404, "not_found", 3), (422, "invalid", 4), (409, "conflict", 4), (412, "stale", 4),
        (413, "too_large", 4),
        (401, "unauthenticated", 7), (403, "denied", 7), (400, "?", 4), (410, "cancelled", 4),
    ],
)  # fmt: skip
def test_refusals_say_why_and_end_in_their_exit_code(cli, gateway, make, status, kind, code):
    error = {"field": "path.id", "expected": "a timer", "got": "none"}
    gateway.answer("GET", "/v1/timers/tmr_1", make.problem(status, kind, error))
    done = cli("timers", "show", "tmr_1")
    assert done.exit_code == code
    assert done.stdout == ""
    assert "path.id: expected a timer; got none" in done.stderr
    assert "do that" in done.stderr


def test_every_error_has_an_exit_code_and_every_code_is_in_the_help(cli):
    for kind, rule in errors.FAILURES.items():
        problem = Problem(title="", status=rule.status, kind=kind, detail="")
        twin = exits.exit_code(rule.error(problem))
        assert twin is exits.exit_code(errors.Failure(kind, "inside the service"))
        assert (twin is exits.Exit.OTHER) == (kind == "bug")
    assert set(exits.MEANINGS) == set(exits.Exit)
    text = " ".join(cli("--help").stdout.split())
    for code, meaning in exits.MEANINGS.items():
        assert f"{int(code)} {meaning}" in text


def test_bad_usage_exits_2(cli):
    assert cli("timers", "show").exit_code == 2
    assert cli("nonsense").exit_code == 2
    assert cli("timers", "create", "x", "--webhook", HOOK, "--payload", "{").exit_code == 2
    assert cli("timers", "list", "--label", "nope").exit_code == 2


def test_a_bad_duration_is_refused_with_what_was_expected(cli):
    done = cli("timers", "snooze", "tmr_1", "soon")
    assert done.exit_code == 2
    assert "expected a duration such as" in done.stderr


def test_a_bare_number_is_seconds(cli, gateway, make):
    gateway.answer("POST", "/v1/timers/tmr_1/snooze", make.reply(make.timer()))
    assert cli("timers", "snooze", "tmr_1", "90").exit_code == 0
    assert gateway.seen[-1].body == {"after": "1m30s"}


def test_a_failure_under_json_is_a_problem(cli, gateway, make):
    done = cli("timers", "show", "tmr_1", "--json")
    assert done.exit_code == 3
    assert json.loads(done.stderr)["kind"] == "not_found"


def test_the_options_for_everywhere_work_before_and_after_the_command(gateway, make):
    gateway.answer("GET", "/v1/timers/tmr_1", make.reply(make.timer()))
    rest = ["--url", gateway.url, "--api-key", "mnt_x", "--json"]
    before = CliRunner().invoke(app, [*rest, "timers", "show", "tmr_1"])
    after = CliRunner().invoke(app, ["timers", "show", "tmr_1", *rest])
    assert before.stdout == after.stdout
    assert [seen.headers["authorization"] for seen in gateway.seen] == ["Bearer mnt_x"] * 2


def test_plug_ins_may_be_apps_or_functions_and_a_broken_one_is_skipped(monkeypatch, cli, tmp_path):
    (tmp_path / "plug.py").write_text(
        "import typer\n"
        "solo = typer.Typer()\n"
        "@solo.command()\n"
        "def anything(word: str):\n    print('solo', word)\n"
        "def plain(count: int = 2):\n    '''A plain one.'''\n    print('plain', count)\n"
        "number = 7\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    added = {"solo": "plug:solo", "plain": "plug:plain", "gone": "no_such_module:x", "odd": "plug:number"}
    monkeypatch.setattr(plugins, "found", lambda: points(**added))
    assert cli("solo", "hello").stdout == "solo hello\n"
    assert cli("plain", "--count", "3").stdout == "plain 3\n"
    shown = cli("--help")
    assert shown.exit_code == 0
    assert "A plain one." in shown.stdout
    assert "the command gone (no_such_module:x) cannot be loaded: ModuleNotFoundError" in shown.stderr
    assert "the command odd (plug:number) cannot be loaded: TypeError" in shown.stderr
    assert cli("gone").exit_code == 2


@pytest.mark.parametrize("point", entry_points(group=plugins.GROUP), ids=lambda point: point.name)
def test_the_help_reads_from_the_source_what_loading_a_command_would_tell(point):
    assert summaries.summary(point) == plugins.load(point).help


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = typer.Typer(help='An app.')", "An app."),
        ("x = group('A group.')", "A group."),
        ("x = typer.Typer(help=TEXT)", None),
        ("x = typer.Typer()\n@x.callback()\ndef all():\n    '''A callback.'''", "A callback."),
        ("x = typer.Typer()\n@x.command()\ndef one():\n    '''One.'''", "One."),
        ("x = typer.Typer()\n@x.command('n', help='Two.')\ndef one():\n    '''One.'''", "Two."),
        ("x = typer.Typer()\n@x.command()\ndef a(): ...\n@x.command()\ndef b(): ...", None),
        ("async def x():\n    '''A function.\n\n    More.\n    '''", "A function.\n\nMore."),
        ("def x(): ...", ""),
        ("@wrapped\ndef x():\n    '''Something else.'''", None),
        ("from elsewhere import x", None),
        ("x = 7", None),
        ("x =", None),
    ],
)
def test_what_a_source_does_not_tell_plainly_is_left_to_loading(monkeypatch, tmp_path, source, told):
    (tmp_path / "only_read.py").write_text(f"raise RuntimeError('it was run')\n{source}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert summaries.summary(EntryPoint("x", "only_read:x", plugins.GROUP)) == told


def test_help_and_completion_load_no_command_that_tells_of_itself(monkeypatch, cli):
    monkeypatch.setattr(plugins, "load", lambda point: pytest.fail(f"{point.name} was loaded"))
    shown = " ".join(cli("--help").stdout.split())
    assert "dead-letters Read and replay deliveries that were given up." in shown
    done = process(
        env=os.environ | {"_MINOOTS_COMPLETE": "complete_bash", "COMP_WORDS": "minoots de", "COMP_CWORD": "1"}
    )
    assert done.stdout.split() == ["dead-letters", "destinations", "dev"]


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_the_top_level_needs_neither_the_client_nor_the_models(argument):
    code = (
        "import atexit, sys\n"
        "from minoots.cli import main\n"
        "heavy = {'httpx', 'pydantic', 'sqlalchemy', 'temporalio', 'fastapi'}\n"
        "atexit.register(lambda: sys.stderr.write(' '.join(sorted(heavy & set(sys.modules)))))\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, argument], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""


def test_a_command_does_not_import_the_others(monkeypatch, cli, gateway, make):
    gateway.answer("GET", "/v1/timers/tmr_1", make.reply(make.timer()))
    monkeypatch.setattr(plugins, "found", lambda: points(gone="no_such_module:x"))
    assert cli("timers", "show", "tmr_1").stderr == ""


def test_a_defect_is_one_line_and_not_a_traceback(monkeypatch, capsys):
    def broken():
        raise LookupError("what now")

    monkeypatch.setattr(plugins, "load", lambda point: typer.main.get_command(_one(broken)))
    with pytest.raises(SystemExit) as ended:
        run(["timers"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("minoots: a defect: LookupError: what now\n")


def test_a_failure_of_the_service_in_a_plug_in_is_told_like_any_other(monkeypatch, capsys):
    def refused():
        raise errors.Failure(errors.FailureKind.NOT_FOUND, "no such key", remedy="list them")

    monkeypatch.setattr(plugins, "load", lambda point: typer.main.get_command(_one(refused)))
    with pytest.raises(SystemExit) as ended:
        run(["timers"])
    assert ended.value.code == 3
    assert capsys.readouterr().err == "minoots: no such key\n  list them\n"


def _one(function):
    one = typer.Typer(pretty_exceptions_enable=False)
    one.command()(function)
    return one


def test_the_version():
    done = process("--version")
    assert (done.returncode, done.stdout) == (0, "minoots 0.1.0\n")


def test_nobody_there_exits_5_with_a_remedy():
    done = process("timers", "list", "--url", "http://127.0.0.1:9")
    assert done.returncode == 5
    assert "is `minoots dev` running?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_is_quiet(gateway, make):
    page = {"items": [make.timer(f"tmr_{number}", payload="x" * 1000) for number in range(300)]}
    gateway.answer("GET", "/v1/timers", make.reply(page))
    code = "from minoots.cli import main; main()"
    arguments = [sys.executable, "-c", code, "timers", "list", "--json", "--url", gateway.url]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as lister:
        assert lister.stdout is not None
        assert lister.stderr is not None
        lister.stdout.readline()
        lister.stdout.close()
        assert lister.stderr.read() == ""
        assert lister.wait(60) == 0


def test_ctrl_c_is_quiet_and_exits_130(gateway, make):
    gateway.answer("GET", "/v1/timers/tmr_1", make.reply(make.timer()))
    code = "from minoots.cli import main; main()"
    arguments = [sys.executable, "-c", code, "timers", "wait", "tmr_1", "--url", gateway.url]
    gateway.answer("GET", "/v1/timers/tmr_1", lambda seen: interrupt(waiter, make.reply(make.timer())(seen)))
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiter:
        out, err = waiter.communicate(timeout=60)
    assert (waiter.returncode, out, err) == (130, "", "")


def interrupt(waiter, response):
    waiter.send_signal(signal.SIGINT)
    return response


def test_without_the_extra_it_says_what_to_install(tmp_path):
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('no typer', name='typer')\n")
    done = process("--version", env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2
    assert done.stderr == "minoots: the command line needs typer and rich; run: pip install 'minoots[cli]'\n"


def test_completion_knows_the_commands():
    done = process(
        env=os.environ
        | {"_MINOOTS_COMPLETE": "complete_bash", "COMP_WORDS": "minoots timers s", "COMP_CWORD": "2"}
    )
    assert done.stdout.split() == ["show", "snooze"]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "now"), (240, "in 4m"), (250, "in 4m 10s"), (-5400, "1h 30m ago"), (900, "in 15m"),
        (-3, "3s ago"), (86_400 * 3, "in 3d"), (86_400 * 400, "in 400d"), (3605, "in 1h"),
    ],
)  # fmt: skip
def test_distances_in_time_are_short(seconds, text):
    now = datetime(2026, 11, 20, tzinfo=UTC)
    assert moments.relative(now + timedelta(seconds=seconds), now) == text

"""The docs are true: every example runs, every link leads somewhere, the reference matches the code."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import dev_stacks
import httpx
import pytest
from dev_stacks import DevStack
from receivers import Receiver

from minoots.runner import RunnerSettings
from minoots_platform.settings import load_settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^(?P<indent> *)```(?P<kind>sh|python)\n(?P<code>.*?)^ *```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: .+ -->\s*$")


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path) -> list[tuple[str, str]]:
    """The examples of a page that are to run: kind and code."""
    text = page.read_text()
    found = []
    for match in BLOCK.finditer(text):
        if NOT_RUN.search(text[: match.start()]) is None:
            code = re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE)
            found.append((match["kind"], code))
    return found


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page)], ids=lambda page: str(page.relative_to(ROOT))
)
async def test_every_example_of_a_page_runs(
    page: Path, shared_stack: DevStack, receiver: Receiver, tmp_path: Path
) -> None:
    environment = dev_stacks.environment() | {
        "MINOOTS_URL": shared_stack.url,
        "PATH": f"{Path(dev_stacks.MINOOTS).parent}:/usr/bin:/bin",
    }
    for kind, code in blocks(page):
        here = code.replace("http://127.0.0.1:4000", shared_stack.url).replace(
            "http://127.0.0.1:9000", receiver.url.removesuffix("/hook")
        )
        command = (
            [sys.executable, "-c", here]
            if kind == "python"
            else ["bash", "-euc", here.replace("curl ", "curl -f ")]
        )
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("example", ["outbox.py", "follow.py", "relay.py", "stand_up.py"])
async def test_examples_run(example: str, shared_stack: DevStack, receiver: Receiver, tmp_path: Path) -> None:
    environment = dev_stacks.environment() | {"MINOOTS_URL": shared_stack.url, "WEBHOOK_URL": receiver.url}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(ROOT / "examples" / example)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["routes.md", "settings.md", "events.md", "errors.md"])
def test_the_reference_matches_the_code(name: str) -> None:
    generator = _generator()
    written = (generator.REFERENCE / name).read_text()
    assert written == generator.PAGES[name](), "run: python docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


async def test_the_receiver_of_the_quickstart_trusts_only_what_is_signed(
    shared_stack: DevStack, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with httpx.AsyncClient(base_url=shared_stack.url, timeout=60) as http:
        key = (await http.post("/v1/secrets", json={"name": "receiver-example"})).json()["key"]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "examples" / "receiver.py"),
            str(port),
            env=dev_stacks.environment() | {"WEBHOOK_KEY": key},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert b"listening" in await asyncio.wait_for(process.stdout.readline(), 20)
            states = {}
            for secret in ("receiver-example", None):
                action = {"url": f"http://127.0.0.1:{port}/hook", "secret": secret}
                body = {"name": "r", "after": 0.1, "actions": [action]}
                timer = (await http.post("/v1/timers", json=body)).json()
                states[secret] = (await http.get(f"/v1/timers/{timer['id']}", params={"wait": 30})).json()[
                    "state"
                ]
            assert states == {"receiver-example": "settled", None: "failed"}
        finally:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```toml" in page.read_text()], ids=lambda page: page.stem
)
def test_every_settings_file_in_the_docs_is_valid(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)):
        if block.startswith("# runner.toml"):
            RunnerSettings.model_validate(tomllib.loads(block))
            continue
        (tmp_path / f"{number}.toml").write_text(block)
        load_settings(tmp_path / f"{number}.toml", environ={})

"""Strictly offline: neither an import nor the opening of the router, nor a local request reaches out."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from model_servers import model_server

PROGRAM = """
import asyncio, json, sys

heard = []

def listen(event, arguments):
    # Every look-up of a name and every connection of this process goes by here, whatever library makes it.
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyname_ex"):
        heard.append([event, str(arguments[0])])
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        heard.append([event, address if isinstance(address, str) else list(address[:2])])

sys.addaudithook(listen)

import pkgutil, importlib
import minoots_activities.models as package
for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(found.name)
import minoots_workflows.models.ports
imported = list(heard)
sdks = [name for name in ("openai", "anthropic") if name in sys.modules]

from minoots.contracts.models import Message, ModelRequest, Role
from minoots_activities.models.opening import open_router
from minoots_platform.records import Database
from minoots_platform.settings import Settings
from minoots_platform.telemetry import start_telemetry
from minoots_workflows.models.contracts import ModelCaller
from minoots_workflows.models.failures import ModelFailure

async def main(url, database_url):
    heard.clear()
    models = {
        "providers": [f"ollama={url}", "openai", "anthropic", "far:compatible=https://models.example/v1"],
        "keys": ["openai=sk-a", "anthropic=sk-b", "far=sk-c"],
        "defaults": ["openai=gpt-5", "anthropic=claude-haiku-4-5", "far=any"],
        "look_seconds": 0.5,
    }
    settings = Settings.model_validate({"models": models})
    request = ModelRequest(messages=(Message(role=Role.USER, text="make tea"),))
    who = ModelCaller(tenant="acme", key="k", call_id="c")
    with start_telemetry(settings, "test") as telemetry:
        async with Database(database_url) as database, open_router(settings, database, telemetry) as opened:
            answer = await opened.router.complete(request, who)
            refused = []
            for provider in ("openai", "anthropic", "far"):
                try:
                    await opened.router.complete(request.model_copy(update={"provider": provider}), who)
                except ModelFailure as failure:
                    refused.append(failure.kind.value)
            await opened.shelf.look()
    local = list(heard)
    sdks_after = [name for name in ("openai", "anthropic") if name in sys.modules]
    print(json.dumps({"imported": imported, "local": local, "refused": refused, "text": answer.text,
                      "sdks": sdks + sdks_after}))

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
"""


IMPORTS = """
import json, sys

heard = []

def listen(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyname_ex"):
        heard.append([event, str(arguments[0])])
    if event in ("socket.connect", "socket.sendto"):
        heard.append([event, str(arguments[1])])

sys.addaudithook(listen)

import importlib, pkgutil

# Parts of frameworks that are not installed here, and scripts that do something when they are imported.
LEFT_OUT = ("minoots.integrations.", "minoots_platform.records.migrations.env")
imported = 0
for name in ("minoots", "minoots_workflows", "minoots_platform", "minoots_activities", "minoots_workers",
             "minoots_api"):
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(package.__path__, name + "."):
        if found.name.startswith(LEFT_OUT) or found.name.endswith("__main__"):
            continue
        importlib.import_module(found.name)
        imported += 1
print(json.dumps({"heard": heard, "imported": imported}))
"""


@pytest.mark.timeout(300)
async def test_no_import_of_any_part_reaches_out(tmp_path: Path) -> None:
    program = tmp_path / "importing_program.py"
    program.write_text(IMPORTS)
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["heard"] == []
    assert told["imported"] > 300, "it has looked at all of them"


async def test_nothing_reaches_out_but_to_the_local_server(sqlite_url: str, tmp_path: Path) -> None:
    program = tmp_path / "offline_program.py"
    program.write_text(PROGRAM)
    async with model_server() as url:
        ran = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(program), url, sqlite_url],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["imported"] == []
    assert told["sdks"] == []
    assert told["refused"] == ["not_allowed"] * 3
    assert told["text"] == "You said: make tea"
    port = int(url.rpartition(":")[2])
    connects = [address for event, address in told["local"] if event == "socket.connect"]
    assert connects
    assert all(address == ["127.0.0.1", port] for address in connects)
    names = {address for event, address in told["local"] if event != "socket.connect"}
    assert names <= {"127.0.0.1"}

"""An agent whose tools come from an MCP server: a program that the job brings along, run in its sandbox.

Run it beside ``minoots dev`` with a model that can call tools, or with one that plays a script:

    minoots fake-llm examples/ask_server.toml --port 11434

MODEL names the model, SANDBOX_TIER=process does without bubblewrap, where settings allow that. The server is
written out here, so that it needs nothing but Python; any program that speaks MCP will do, from an image too.
"""

import os

from minoots import Minoots

STOCK = """
import json, sys

STOCK = {"tea": 12, "milk": 0}
TOOL = {
    "name": "in_stock",
    "description": "Say how many of an item there are.",
    "inputSchema": {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]},
}


def answer(method, params):
    if method == "initialize":
        version, about = params["protocolVersion"], {"name": "stock", "version": "1"}
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        item = params["arguments"]["item"]
        known = item in STOCK
        text = str(STOCK[item]) if known else f"there is no {item}"
        return {"content": [{"type": "text", "text": text}], "isError": not known}


for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        result = answer(asked["method"], asked.get("params", {}))
        told = {"result": result} if result else {"error": {"code": -32601, "message": "no such method"}}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **told}), flush=True)
"""

with Minoots(os.environ.get("MINOOTS_URL", "http://127.0.0.1:4000")) as client:
    run = client.jobs.run(
        name="what is in stock",
        task="How many of tea, milk and coffee are in stock? Ask the tools.",
        files={"stock.py": STOCK},
        tools=[],
        mcp=[
            {
                "name": "stock",
                "command": ["python3", "stock.py"],
                # No need to ask anybody: what runs here is shut in.
                "tools": [{"name": "in_stock", "approval": "never", "max_calls": 10}],
            }
        ],
        tier=os.environ.get("SANDBOX_TIER", "bubblewrap"),
        **({"model": os.environ["MODEL"]} if "MODEL" in os.environ else {}),
    )
    for event in run:
        if event.type == "tool" and "result" in event.data:
            print("<", event.data["name"], event.data["result"])
    print(run.job.state, "" if run.job.problem is None else run.job.problem.detail)
    if run.job.result is None or run.job.state != "succeeded":
        raise SystemExit(1)
    print(run.job.result.preview)

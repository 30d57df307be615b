"""An agent that reads a small repository, runs its tests in a sandbox, and hands back a patch for what fails.

Run it beside ``minoots dev`` with a model that can call tools, or with one that plays a script:

    minoots fake-llm examples/fix_tests.toml --port 11434

MODEL names the model, SANDBOX_TIER=process does without bubblewrap, where settings allow that.
"""

import os

from minoots import Minoots

REPOSITORY = {
    "README.md": "Prices, in cents.\n",
    "prices.py": (
        "def total(prices, discount=0):\n"
        '    """Return the sum of prices, less a discount in percent, rounded down."""\n'
        "    return sum(prices) * (100 + discount) // 100\n"
    ),
    "test_prices.py": (
        "import unittest\n\nfrom prices import total\n\n\n"
        "class Totals(unittest.TestCase):\n"
        "    def test_prices_are_added_up(self):\n"
        "        self.assertEqual(total([250, 50]), 300)\n\n"
        "    def test_a_discount_makes_it_cheaper(self):\n"
        "        self.assertEqual(total([250, 50], discount=10), 270)\n"
    ),
}

with Minoots(os.environ.get("MINOOTS_URL", "http://127.0.0.1:4000")) as client:
    run = client.jobs.run(
        name="fix the tests",
        task="Run the tests with `python3 -m unittest`. Fix what fails, in the code and not in the tests.",
        files=REPOSITORY,
        tools=[
            *("list_files", "read_file", "search_files"),
            {"name": "edit_file", "paths": ["prices.py"]},
            # No need to ask anybody: what runs here is shut in.
            {"name": "run", "approval": "never", "time": "30s"},
        ],
        max_turns=20,
        tier=os.environ.get("SANDBOX_TIER", "bubblewrap"),
        **({"model": os.environ["MODEL"]} if "MODEL" in os.environ else {}),
    )
    for event in run:
        for call in event.data.get("calls", ()) if event.type == "tool" else ():
            print(">", call["name"], call["arguments"])
    print(run.job.state, "" if run.job.problem is None else run.job.problem.detail)
    made = {artifact.name: artifact for artifact in client.jobs.artifacts(run.job.id)}
    if "answer.txt" in made:
        print(client.jobs.download(made["answer.txt"]).decode())
    if "changes.patch" in made:
        print(client.jobs.download(made["changes.patch"]).decode())
    if run.job.state != "succeeded":
        raise SystemExit(1)

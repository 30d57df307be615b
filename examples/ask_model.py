"""A job that asks a language model: tokens as they come, then what it took.

Run it beside ``minoots dev`` with Ollama on this machine, or beside ``minoots fake-llm``.
"""

import os

from minoots import Minoots
from minoots.contracts.jobs import LlmResult

with Minoots(os.environ.get("MINOOTS_URL", "http://127.0.0.1:4000")) as client:
    run = client.jobs.run(name="why", prompt="Why is the sky blue?", max_tokens=200, on_break="restart")
    for event in run:
        if "drop_after" in event.data:
            print("\n(begun anew: what stands above is void)")
        print(event.data.get("text", ""), end="", flush=True)
    result = run.job.result
    if not isinstance(result, LlmResult):
        raise SystemExit(run.job.problem.detail if run.job.problem else "no answer")
    print(f"\n{result.model} of {result.provider}: {result.usage.output_tokens} tokens")

"""A job that runs a program in a sandbox: files in, what it writes as it comes, files out.

Run it beside ``minoots dev``. SANDBOX_TIER=process does without bubblewrap, where settings allow that.
"""

import os

from minoots import Minoots

PROGRAM = """
from collections import Counter
words = open("text.txt").read().lower().split()
for word, many in Counter(words).most_common(3):
    print(many, word)
open("longest.txt", "w").write(max(words, key=len))
"""

with Minoots(os.environ.get("MINOOTS_URL", "http://127.0.0.1:4000")) as client:
    run = client.jobs.run(
        name="count words",
        command=["python3", "count.py"],
        files={"count.py": PROGRAM, "text.txt": "the cat and the dog and the elephant"},
        outputs=["*.txt"],
        limits={"time": "20s", "memory_mb": 256},
        tier=os.environ.get("SANDBOX_TIER", "bubblewrap"),
    )
    for event in run:
        print(event.data.get("text", ""), end="", flush=True)
    print(run.job.state, "" if run.job.problem is None else run.job.problem.detail)
    for artifact in client.jobs.artifacts(run.job.id):
        print(artifact.name, artifact.bytes, "bytes")
    if run.job.state != "succeeded":
        raise SystemExit(1)

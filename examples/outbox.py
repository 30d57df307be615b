"""Setting timers while the gateway may be away: they wait on disk and are sent in order, once."""

import os
import tempfile
from pathlib import Path

from minoots import Minoots, Queued

url = os.environ.get("MINOOTS_URL", "http://127.0.0.1:4000")
folder = Path(tempfile.mkdtemp())

with Minoots("http://127.0.0.1:1", outbox=folder / "outbox.db", retries=0) as away:
    kept = away.timers.create(name="while away", after="1h", webhook="http://127.0.0.1:9000/hook")
    assert isinstance(kept, Queued)
    print("kept on disk:", kept.name)

with Minoots(url, outbox=folder / "outbox.db") as back:
    print("sent:", len(back.outbox.flush().sent))

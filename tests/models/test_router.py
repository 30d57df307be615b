"""The router against stand-ins: who is asked, who comes next, and what a reader is told of it."""

from __future__ import annotations

from model_servers import asked, heard, model_server, routing, streamed

from minoots.contracts.models import DeltaKind
from minoots_platform.records import Database
from minoots_platform.telemetry import Telemetry


async def test_an_answer_comes_in_pieces_and_then_as_a_whole(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    turn = {"when": "tea", "text": "It is hot now.", "thinking": "Water first."}
    async with (
        model_server(turns=[turn]) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        pieces, answer = await streamed(opened, asked())
        assert pieces[0].kind is DeltaKind.ATTEMPT
        said = "".join(piece.text for piece in pieces if piece.kind is DeltaKind.TEXT)
        assert said == answer.text == "It is hot now."
        assert answer.thinking == "Water first."
        assert (answer.provider, answer.model, answer.local) == ("ollama", "fake:latest", True)
        assert answer.usage.output_tokens == 6
        assert answer.usage.cost_micros == 0
        assert answer.attempts[-1].number == 1
        assert not answer.fell_back
        assert answer.warnings == ()
        assert answer.timings.first_token_ms is not None
        body = (await heard(url))[-1]["body"]
        assert body["options"]["num_ctx"] == 8192
        assert body["options"]["num_predict"] == 4096
        assert body["keep_alive"] == "5m"

"""A small storm: clients of every kind at once, one that breaks the engine among them, and no answer lost or crossed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx
from running import running, wait_until

from dsocr import load
from dsocr.engine.sequence import Sequence

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.serve_load import Tally, answered_alone, fields_of, storm

CLIENTS = 20
BREAKS = 666  # the seed of requests that break


def test_in_a_storm_no_answer_is_lost_or_crossed_and_nothing_stays_behind(checkpoint, monkeypatch):
    write, tally = Sequence.write, Tally()

    def fail(sequence, index, logprob=None):
        if sequence._sampling.seed == BREAKS:
            raise ValueError("broken")
        write(sequence, index, logprob)

    monkeypatch.setattr(Sequence, "write", fail)
    monkeypatch.setattr("benchmarks.serve_load.LONG", 100)
    monkeypatch.setattr("benchmarks.serve_load.PAGES", 2)
    with running(load(checkpoint, device="cpu", batch=4), queue=8) as server:

        async def break_it() -> int:
            for child in server.worker._opener._children:
                if child.number:
                    os.kill(child.number, signal.SIGKILL)
            async with httpx.AsyncClient(base_url=server.address, timeout=60) as client:
                while True:
                    answer = await client.post("/v1/chat/completions", json=fields_of(1) | {"seed": BREAKS})
                    if answer.status_code != 429:
                        return answer.status_code
                    await asyncio.sleep(0.1)

        async def live() -> list[int]:
            questions = await answered_alone(server.address, 4)
            _, *broken = await asyncio.gather(storm(server.address, questions, CLIENTS, tally), break_it(), break_it())
            return broken

        assert asyncio.run(live()) == [500, 500]
        ends = {end for _, end in tally.ends}
        assert ends <= {"right", "gone", "decoder killed"}
        assert sum(tally.ends.values()) == CLIENTS
        assert tally.count("right") >= CLIENTS // 2
        engine, line = server.worker.ocr.engine, server.worker.line
        wait_until(lambda: engine.scheduler.idle and line.here == line.seated == line.waiting == 0)
        assert engine.pool.free == engine.pool.blocks

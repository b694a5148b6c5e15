"""What the queue itself costs: milliseconds a call, on a Postgres of its own with its disk writes on.

python benchmarks/queue_calls.py [orders]
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from worker.config import Config
from worker.queue.embedded import embedded_postgres
from worker.queue.migrate import migrate
from worker.queue.queue import Queue, open_queue

T = TypeVar("T")


def main(orders: int) -> None:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)  # started by root, the server runs as nobody, who must get in
    with embedded_postgres(folder / "server") as server:
        migrate(server.dsn)
        queue = open_queue(Config(database_url=SecretStr(server.dsn)), worker_name="benchmark")
        payload = {"script": "Breathe in. " * 100, "durationMin": 10}
        seconds: dict[str, list[float]] = {}

        def timed(name: str, call: Callable[[], T]) -> T:
            begin = time.perf_counter()
            answer = call()
            seconds.setdefault(name, []).append(time.perf_counter() - begin)
            return answer

        for _ in range(orders):
            timed("enqueue", lambda: queue.enqueue(payload))
        for _ in range(orders):
            begin = time.perf_counter()
            one(queue, timed)
            seconds.setdefault("claim + beat + finish", []).append(time.perf_counter() - begin)
        timed("claim, nothing there", queue.claim)
        for _ in range(orders):
            timed("claim, nothing there", queue.claim)
            timed("rescue, nothing there", queue.rescue)
        queue.close()
    time.sleep(1.0)  # the server goes when its last user has
    shutil.rmtree(folder)
    print(f"{orders} orders, {queue.describe()}, milliseconds")
    print(f"{'call':24} {'median':>8} {'p95':>8} {'worst':>8}")
    for name, taken in seconds.items():
        ordered = sorted(1000 * value for value in taken)
        p95 = ordered[int(0.95 * (len(ordered) - 1))]
        print(f"{name:24} {statistics.median(ordered):8.2f} {p95:8.2f} {ordered[-1]:8.2f}")


def one(queue: Queue, timed: Callable[[str, Callable[[], object]], object]) -> None:
    claim = timed("claim", queue.claim)
    timed("beat", lambda: queue.beat(claim, progress=50, stage="Mixing"))  # type: ignore[arg-type]
    timed("standing", lambda: queue.standing(claim))  # type: ignore[arg-type]
    timed("finish", lambda: queue.finish(claim, result={"url": "x"}, track={}))  # type: ignore[arg-type]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)

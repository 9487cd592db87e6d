"""Keystrokes beside bulk: 64 bytes go to an echo server and come back, again and again, and the time
of each is taken, while another connection of the same way is as full as it gets."""

import contextlib
import os
import subprocess
import threading
import time

from pairs import AT_LEAST, AT_MOST, Failed, compare, limit, measure, percentile, written_down
from peers.reverse_ssh import ReverseSsh
from peers.tcp import load, metrics, resident_kib

PAIRS = int(os.environ.get("RL_BENCH_PAIRS", "5"))
SECONDS = float(os.environ.get("RL_BENCH_SECONDS", "5"))
INTERVAL_MS = 5
RATE = "100mbit"
WINDOW_BYTES = 262144  # the default of --stream-window, and of an agent's unacknowledged bytes
LIVE, LIVE_INTERVAL_MS = int(os.environ.get("RL_BENCH_STREAMS", "100")), 50


def echo(bench, way, bulk, streams=1, interval_ms=INTERVAL_MS, stalled=0):
    said = load(bench.helpers, way, "echo", streams, SECONDS, interval_ms, bulk, stalled)
    return {
        "p99_ms": percentile(said["rtts_us"], 99) / 1e3,
        "p50_ms": percentile(said["rtts_us"], 50) / 1e3,
        "echoes": len(said["rtts_us"]),
        "bulk_mb_s": said["bulk_bytes"] / said["seconds"] / 1e6,
    }


def of(runs, key):
    return [run[key] for run in runs]


@contextlib.contextmanager
def bottleneck(router):
    """Both ways through the router, 100 Mbit/s each; its queue holds 50 ms."""
    devices = ("uplink", "lan")
    shape = ["root", "tbf", "rate", RATE, "burst", "128kb", "latency", "50ms"]
    try:
        for device in devices:
            done = subprocess.run(
                ["tc", "-n", router, "qdisc", "replace", "dev", device, *shape], stderr=subprocess.PIPE
            )
            if done.returncode != 0:
                raise Failed(f"tc: {done.stderr.decode().strip()}")
        yield
    finally:
        for device in devices:
            subprocess.run(
                ["tc", "-n", router, "qdisc", "del", "dev", device, "root"], stderr=subprocess.DEVNULL
            )


def echo_bottleneck(bench):
    """Echo p99 beside bulk through 100 Mbit/s."""
    if not bench.remoteler.cluster.netns:
        raise Failed("no network namespace can be made here: there is no link to be the bottleneck")
    ways = (
        bench.tcp_edge,
        bench.started(ReverseSsh(bench.dir / "reverse_ssh", bench.remoteler, bench.helpers)),
    )
    with bottleneck(bench.remoteler.cluster.router):
        for bulk in ("down", "up"):
            subject, peer = measure([lambda way=way: echo(bench, way, bulk) for way in ways], PAIRS)
            yield {
                "variant": f"p99, bulk {bulk}",
                "rate": RATE,
                "runs": {"subject": subject, "peer": peer},
                **compare(of(subject, "p99_ms"), of(peer, "p99_ms"), "ms", (AT_MOST, 0.5)),
            }
            yield {
                "variant": f"bulk {bulk}",
                **compare(of(subject, "bulk_mb_s"), of(peer, "bulk_mb_s"), "MB/s"),
            }


def echo_loopback(bench):
    """Echo p99 beside bulk, and bulk beside echo, each against alone; no link is the bottleneck."""
    way = bench.tcp_here
    for bulk in ("down", "up"):
        beside, alone, bulk_alone = measure(
            [
                lambda: echo(bench, way, bulk),
                lambda: echo(bench, way, "none"),
                lambda: echo(bench, way, bulk, streams=1, interval_ms=1000),
            ],
            PAIRS,
        )
        yield {
            "variant": f"p99, bulk {bulk}",
            "runs": beside,
            **limit(of(beside, "p99_ms"), "ms", 2),
        }
        yield {"variant": "p99, nothing beside", **written_down(of(alone, "p99_ms"), "ms")}
        yield {
            "variant": f"bulk {bulk}, beside/alone",
            **compare(of(beside, "bulk_mb_s"), of(bulk_alone, "bulk_mb_s"), "MB/s", (AT_LEAST, 0.6)),
        }


# ---- somebody does not read ----


def user_bytes(bench):
    said = metrics(bench.remoteler.ports["proxy_health"])
    return sum(v for k, v in said.items() if k.startswith("remoteler_proxy_user_bytes_total"))


def held_by_broker(bench):
    return metrics(bench.remoteler.ports["broker_health"])["remoteler_broker_held_bytes"]


def stall_alone(bench):
    """One connection that nobody reads, and no other: what each hop holds for it, to the byte."""
    way, before = bench.tcp_here, user_bytes(bench)
    over = len(way.finished())
    seen = []
    runner = threading.Thread(target=lambda: seen.append(echo_nothing(bench, way)))
    runner.start()
    held = 0
    while runner.is_alive():
        held = max(held, held_by_broker(bench))
        time.sleep(0.05)
    runner.join()
    deadline = time.monotonic() + 10
    while len(way.finished()) == over:
        if time.monotonic() > deadline:
            raise Failed("the agent has not said that the connection is over")
        time.sleep(0.05)
    # The purpose's line came the other way.
    delivered = user_bytes(bench) - before - len("flood\n")
    return {"broker": held, "agent": way.finished()[-1]["bytes_out"] - delivered}


def echo_nothing(bench, way):
    return load(bench.helpers, way, "echo", 0, min(SECONDS, 3), 1000, "none", 1)


def stalled_reader(bench):
    """100 live streams beside one that nobody reads."""
    way = bench.tcp_here
    beside, without = measure(
        [
            lambda: echo(bench, way, "none", LIVE, LIVE_INTERVAL_MS, stalled=1),
            lambda: echo(bench, way, "none", LIVE, LIVE_INTERVAL_MS),
        ],
        PAIRS,
    )
    yield {
        "variant": f"p99 of {LIVE}, beside/without",
        "runs": {"beside": beside, "without": without, "lost_bytes": 0},  # a wrong byte fails the run
        **compare(of(beside, "p99_ms"), of(without, "p99_ms"), "ms", (AT_MOST, 1.5)),
    }
    held = [stall_alone(bench) for _ in range(PAIRS)]
    for hop in ("broker", "agent"):
        # The most of all runs counts, not the median.
        most = max(of(held, hop))
        yield {
            "variant": f"most held in the {hop}",
            **limit([most], "B", WINDOW_BYTES),
            "runs": of(held, hop),
            "broker_resident_kib": resident_kib(bench.remoteler.pid("broker")),
        }


BENCHMARKS = {
    "echo-bottleneck": echo_bottleneck,
    "echo-loopback": echo_loopback,
    "stalled-reader": stalled_reader,
}

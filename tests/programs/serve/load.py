"""Eight clients of atrous-serve: throughput against atrous segment on a folder, growth, and times while a flood goes on.

usage: load.py ATROUS_SERVE ATROUS [SECONDS]    120 unless given, and half of them again with the flood
"""
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from serving import STREET, Client, Server, check, report, request

PROGRAM, ATROUS = sys.argv[1:3]
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 120
CLIENTS, PHOTOS, ROUNDS = 8, 24, 5
MOST_SECONDS = 20  # that a photo of one of eight clients may take on two cores, whatever else goes on


class Standstills:
    """When this process itself did not run: a stopped or overloaded machine. Times of that kind are not the server's."""

    def __init__(self, shortest=0.5):
        self.shortest, self.found = shortest, []
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        last = time.monotonic()
        while True:
            time.sleep(0.02)
            now = time.monotonic()
            if now - last > self.shortest:
                self.found.append((last, now))
            last = now

    def seconds(self, times):
        """Of each pair of a beginning and an end: without what it stood still. Asked when all have ended."""
        return [end - begin - sum(max(0, min(end, last) - max(begin, first)) for first, last in self.found) for begin, end in times]


class Crowd:
    """Clients that send a photo again and again, each on a connection of its own that it keeps."""

    def __init__(self, server, body, target="/v1/segment?output=labels"):
        self.server, self.body, self.target = server, body, target
        self.left, self.stopped, self.lock = 0, False, threading.Lock()
        self.times, self.errors = [], []

    def _take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0 and not self.stopped

    def _work(self):
        client = None
        while self._take():
            begin = time.monotonic()
            try:
                client = client or Client(self.server.port)
                answer = client.ask("POST", self.target, self.body)
                if answer.status != 200 or not answer.body.startswith(b"\x89PNG"):
                    raise ValueError((answer.status, answer.body[:200]))
                if answer.fields.get("connection") == "close":
                    client = None
            except (OSError, EOFError, ValueError) as error:
                self.errors.append(repr(error))
                client = None
            self.times.append((begin, time.monotonic()))

    def run(self, photos=None, seconds=None, clients=CLIENTS):
        self.left = photos or 1 << 60
        threads = [threading.Thread(target=self._work) for _ in range(clients)]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        if seconds:
            time.sleep(seconds)
            self.stopped = True
        for thread in threads:
            thread.join()
        return time.monotonic() - begin


class Flood:
    """Slow, huge, broken and half-closed requests, from as many threads as kinds."""

    def __init__(self, port):
        self.port, self.stopped, self.sent = port, False, 0
        self.random = random.Random(27)
        self.threads = [threading.Thread(target=self._go, args=(kind,), daemon=True)
                        for kind in (self.slow, self.huge, self.broken, self.half_closed, self.impatient)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        for thread in self.threads:
            thread.join(20)

    def _go(self, kind):
        kept = []
        while not self.stopped:
            try:
                kept.append(kind())
            except (OSError, EOFError, ValueError):
                pass
            self.sent += 1
            if len(kept) > 150:
                old = kept.pop(0)
                if old:
                    old.socket.close()
        for client in filter(None, kept):
            client.socket.close()

    def slow(self):  # the head, or the body, stops
        client = Client(self.port, timeout=5)
        client.send(self.random.choice([b"GET / HT", b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nA", request(
            self.port, "POST", "/v1/segment", None, {"Content-Length": "1000000"}) + b"x" * 1000]))
        time.sleep(0.005)
        return client

    def huge(self):  # as large as is taken, and stops before its end
        client = Client(self.port, timeout=2)
        client.send(request(self.port, "POST", "/v1/segment", None, {"Content-Length": "31000000"}))
        client.send(b"x" * 10_000_000)
        time.sleep(0.05)
        return client

    def broken(self):
        with Client(self.port, timeout=5) as client:
            junk = bytes(self.random.randrange(256) for _ in range(200))
            client.send(self.random.choice([junk, b"GET / HTTP/1.1\r\n" + junk, b"\r\n" * 100,
                                            request(self.port, "GET", "/healthz", None, {"A": "b" * 20000})]))
            time.sleep(0.005)

    def half_closed(self):
        with Client(self.port, timeout=5) as client:
            client.send(request(self.port, "POST", "/v1/segment", b"x" * 1000)[: -self.random.randrange(1000)])
            client.socket.shutdown(1)
            time.sleep(0.005)

    def impatient(self):  # whole pictures that are broken, and nobody there for the answer
        client = Client(self.port, timeout=5)
        street = STREET.read_bytes()
        client.send(request(self.port, "POST", "/v1/segment", street[: self.random.randrange(len(street))]))
        client.socket.close()
        time.sleep(0.05)


def throughput():
    photo = STREET.read_bytes()
    with tempfile.TemporaryDirectory() as folder, Server(PROGRAM, small=False) as server:
        for i in range(PHOTOS):
            pathlib.Path(folder, f"{i:02}.png").write_bytes(photo)
        Crowd(server, photo).run(photos=CLIENTS)
        ratios = []
        for _ in range(ROUNDS):  # by turns, so that what else the machine does meets both
            begin = time.monotonic()
            subprocess.run([ATROUS, "segment", folder, "-o", folder + "/out", "--labels", "--no-mask", "--no-overlay", "-q"], check=True)
            program = time.monotonic() - begin
            shutil.rmtree(folder + "/out")
            crowd = Crowd(server, photo)
            served = crowd.run(photos=PHOTOS)
            check(not crowd.errors, f"{PHOTOS} photos: atrous segment {program:.2f} s, eight clients {served:.2f} s", crowd.errors[:3])
            ratios.append(program / served)
        ratio = statistics.median(ratios)
        check(ratio >= 0.9, f"eight clients have {100 * ratio:.0f}% of atrous segment's throughput", ratios)


def load():
    photo = STREET.read_bytes()
    with Server(PROGRAM, small=False) as server:
        Crowd(server, photo).run(seconds=min(10, SECONDS / 4))
        before = server.resident()
        crowd = Crowd(server, photo)
        seconds = crowd.run(seconds=SECONDS)
        after = server.resident()
        count = len(crowd.times)
        check(count > 0 and not crowd.errors, f"{seconds:.0f} s of eight clients: {count} photos, {count / seconds:.1f} a second, no error",
              crowd.errors[:3])
        check(after < before + 8e6, f"no growth: {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB behind it", (before, after))
        crowd = Crowd(server, photo)
        statuses, healthy, standstills = set(), [], Standstills()

        def ask_for_health():
            while not crowd.stopped:
                begin = time.monotonic()
                answer = server.ask("GET", "/healthz", timeout=10)
                statuses.add(answer.status)
                healthy.append((begin, time.monotonic()))
                time.sleep(0.2)

        health = threading.Thread(target=ask_for_health)
        with Flood(server.port) as flood:
            health.start()
            crowd.run(seconds=SECONDS / 2)
            health.join()
        time.sleep(0.1)  # the watch, too, has seen all by then
        check(not crowd.errors and crowd.times, f"beside {flood.sent} requests of a flood eight clients have {len(crowd.times)} photos, no error",
              crowd.errors[:3])
        photos = standstills.seconds(crowd.times)
        check(max(photos) < MOST_SECONDS, f"a photo takes {statistics.median(photos):.2f} s at the median, {max(photos):.2f} s at most", max(photos))
        health = standstills.seconds(healthy)
        check(statuses == {200} and max(health) < 2, f"/healthz takes {max(health):.3f} s at most, {len(health)} times", (statuses, sorted(health)[-5:]))
        if standstills.found:
            print(f"     this test stood still for {sum(last - first for first, last in standstills.found):.1f} s, which do not count")
        peak = server.peak()
        check(peak < before + 256e6 + 128e6, f"memory at its highest: {peak / 1e6:.0f} MB", peak)
        time.sleep(12)  # those that stopped are given up by then
        crowd = Crowd(server, photo)
        crowd.run(photos=CLIENTS)
        check(server.resident() < before + 24e6, f"and behind it {server.resident() / 1e6:.1f} MB", server.resident())
        check(server.metric("atrous_buffered_bytes") == 0 and server.metric("atrous_connections") <= 2, "nothing is left of the flood",
              (server.metric("atrous_buffered_bytes"), server.metric("atrous_connections")))
        server.terminate()
        check(server.status() == 0, "it ends in order")


throughput()
load()
report()

"""atrous-serve under slow, huge, broken, half-closed and pipelined requests, at its limits, and at its end.

usage: floods.py ATROUS_SERVE [sanitized]    sanitized: a program whose memory and times are a sanitizer's
"""
import pathlib
import resource
import selectors
import signal
import socket
import struct
import sys
import threading
import time

from serving import STREET, Client, Server, check, grey_png, report, request

PROGRAM = sys.argv[1]
PHOTO = grey_png(16, 12)


def heads(server):
    """What is no HTTP is answered in one sentence, and the connection ends."""
    port = server.port
    host = f"Host: 127.0.0.1:{port}\r\n".encode()
    for what, sent, status in (
            ("two words in the request line", b"GET /healthz\r\n" + host + b"\r\n", 400),
            ("HTTP/2", b"GET /healthz HTTP/2.0\r\n" + host + b"\r\n", 505),
            ("another protocol", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
            ("a line that ends in LF", b"GET /healthz HTTP/1.1\n" + host + b"\r\n", 400),
            ("a folded field", b"GET /healthz HTTP/1.1\r\n" + host + b"A: b\r\n c\r\n\r\n", 400),
            ("a space before the colon", b"GET /healthz HTTP/1.1\r\n" + host + b"A : b\r\n\r\n", 400),
            ("a NUL", b"GET /healthz HTTP/1.1\r\n" + host + b"A: \0\r\n\r\n", 400),
            ("two Hosts", b"GET /healthz HTTP/1.1\r\n" + host + host + b"\r\n", 400),
            ("two lengths", b"POST /v1/segment HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ("a negative length", b"POST /v1/segment HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n", 400),
            ("a length with a sign", b"POST /v1/segment HTTP/1.1\r\n" + host + b"Content-Length: +1\r\n\r\n", 400),
            ("a length beyond 64 bits", b"POST /v1/segment HTTP/1.1\r\n" + host + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
            ("no length", b"POST /v1/segment HTTP/1.1\r\n" + host + b"\r\n", 411),
            ("a chunked body", b"POST /v1/segment HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
            ("chunked and a length", b"POST /v1/segment HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
            ("another expectation", b"POST /v1/segment HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nExpect: the best\r\n\r\n", 417),
            ("the address of another server", b"GET http://evil.example/ HTTP/1.1\r\n" + host + b"\r\n", 400),
            ("a long target", b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\n" + host + b"\r\n", 414),
            ("many fields", b"GET / HTTP/1.1\r\n" + host + b"".join(b"A%d: b\r\n" % i for i in range(200)) + b"\r\n", 431),
            ("a long field", b"GET / HTTP/1.1\r\n" + host + b"A: " + b"b" * 20000 + b"\r\n\r\n", 431),
            ("a head without an end", b"GET / HTTP/1.1\r\n" + host + b"A: b\r\n" * 10000, 431),
            ("a huge body", b"POST /v1/segment HTTP/1.1\r\n" + host + b"Content-Length: 999999999999\r\n\r\n", 413),
            ("a parameter twice", request(port, "POST", "/v1/segment?output=json&output=mask", PHOTO), 400),
            ("an unknown parameter", request(port, "POST", "/v1/segment?size=3", PHOTO), 400),
            ("a name of 300 bytes", request(port, "POST", "/v1/segment?name=" + "n" * 300, PHOTO), 400)):
        with Client(port, timeout=10) as client:
            client.send(sent)
            found = client.answer()
            check(found.status == status and found.json()["status"] == status, f"{what}: {status}", (found.status, found.body))
            if found.fields.get("connection") == "close":
                client.socket.shutdown(socket.SHUT_WR)
                check(client.ended(), f"{what}: the connection ends")
    for what, fields in (("many ranges", {"Range": "bytes=" + ",".join("0-" for _ in range(500))}),
                         ("compression", {"Accept-Encoding": "br, gzip"}), ("its own address", {"REMOTE_ADDR": "evil"})):
        found = server.ask("GET", "/healthz", fields=fields)
        check(found.status == 200 and found.body == b'{"status": "ok"}\n', f"{what}: as without", (found.status, found.body))
    with Client(port) as client:
        client.send(f"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        check(client.answer().status == 200 and client.ended(), "HTTP/1.0: answered, and the connection ends")


def pictures(server):
    street = STREET.read_bytes()
    for what, body, status in (("a truncated PNG", street[: len(street) // 2], 422), ("a PNG with a wrong sum", street[:40000] + b"\0\0\0\0" + street[40004:], 422),
                               ("a page", b"<html></html>", 415), ("nothing", b"", 400),
                               ("a billion pixels", b"\x89PNG\r\n\x1a\n" + PHOTO[8:16] + struct.pack(">II", 30000, 40000) + PHOTO[24:], 422)):
        found = server.segment(body, "/v1/segment?name=it")
        # A size within a chunk with a wrong sum may be refused for either.
        good = found.status == status or (what == "a billion pixels" and found.status == 413)
        check(good and "/" not in found.json()["detail"].replace("/v1", ""), f"{what}: {status}, and no path", (found.status, found.body))
    found = server.segment(b"P5 60000 60000 255\n")
    check(found.status == 413 and "3600000000" in found.json()["detail"] and "50000000" in found.json()["detail"], "both numbers of pixels are named", found.body)


def connections(server):
    port = server.port
    with Client(port) as client:  # pipelined: all at once, answered in their order
        client.send(b"".join(request(port, *one) for one in (
            ("GET", "/healthz"), ("POST", "/v1/segment?output=labels", PHOTO), ("GET", "/v1/nothing2"))))
        statuses = [client.answer().status, client.answer().status, client.answer().status]
        check(statuses == [200, 200, 404], "requests in one go are answered in their order", statuses)
    with Client(port) as client:
        many = 3000
        sender = threading.Thread(target=lambda: client.send(request(port, "GET", "/healthz") * many))
        sender.start()
        statuses = {client.answer().status for _ in range(many)}
        sender.join()
        check(statuses == {200}, f"{many} requests in one go", statuses)
    with Client(port) as client:  # half-closed: the client has said all, and listens
        client.send(request(port, "POST", "/v1/segment?output=labels", PHOTO))
        client.socket.shutdown(socket.SHUT_WR)
        found = client.answer()
        while found.status == 100:  # whether anybody listens still
            found = client.answer()
        check(found.status == 200 and client.ended(), "a half-closed connection gets its answer", found.status)
    with Client(port) as client:
        client.send(request(port, "POST", "/v1/segment", PHOTO)[:-10])
        client.socket.shutdown(socket.SHUT_WR)
        check(client.ended(), "half a body and an end: closed without an answer")
    with Client(port) as client:
        client.send(request(port, "POST", "/v1/segment", PHOTO, {"Expect": "100-continue"})[: -len(PHOTO)])
        check(client.answer().status == 100, "Expect: 100-continue")
        client.send(PHOTO)
        check(client.answer().status == 200, "and the answer behind it")
    with Client(port) as client:
        client.send(request(port, "POST", "/v1/segment", b"", {"Expect": "100-continue", "Content-Length": "999999999"}))
        found = client.answer()
        check(found.status == 413, "no 100 for a body that is too large", found.status)
    big = b"x" * 40_000_000  # a client that sends all before it listens sees the refusal nevertheless
    with Client(port) as client:
        client.send(request(port, "POST", "/v1/segment", big))
        check(client.answer().status == 413, "a body that is too large: the answer arrives")
    for _ in range(50):  # clients that go away
        with Client(port) as client:
            client.send(request(port, "POST", "/v1/segment", PHOTO)[: -5])
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    check(server.ask("GET", "/healthz").status == 200, "50 reset connections later it answers")


def slow():
    """Connections that never finish neither keep others waiting nor stay."""
    with Server(PROGRAM, "--connections", "64", "--sessions", "1") as server:
        port, slow_ones = server.port, []
        for i in range(200):
            client = Client(port)
            client.send(b"GET /healthz HTTP/1.1\r\nHo" if i % 2 else request(port, "POST", "/v1/segment", PHOTO)[:-1 - i % 8])
            slow_ones.append(client)
        times = []
        for _ in range(20):
            begin = time.monotonic()
            check_one = server.segment(PHOTO).status
            times.append(time.monotonic() - begin)
            if check_one != 200:
                check(False, "among 200 slow connections a photo is answered", check_one)
        check(max(times) < 5, f"among 200 slow connections a photo takes at most {max(times):.2f} s", times)
        check(server.metric("atrous_connections") <= 64, "there are no more connections than may be", server.metric("atrous_connections"))
        for client in slow_ones:
            client.socket.close()


def crowds():
    """Whoever asks is answered beside more new connections than the kernel's queue or --connections have room for."""
    longest_queue = int(pathlib.Path("/proc/sys/net/core/somaxconn").read_text())
    half = min(300, longest_queue // 2 - 4)
    with Server(PROGRAM, "--sessions", "1", "--connections", "64") as server, selectors.DefaultSelector() as selector:
        # A server that stands still takes nobody out of the queue: who is not let in at once is not let in at all.
        server.process.send_signal(signal.SIGSTOP)
        crowd = []

        def knock(count):
            for _ in range(count):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", server.port))
                selector.register(one, selectors.EVENT_WRITE)
                crowd.append(one)

        knock(half)
        try:
            clients = [Client(server.port, timeout=10)]
            knock(half)
            clients.append(Client(server.port, timeout=10))
        except TimeoutError:
            clients = []
        let_in = len(selector.select(0)) if clients else 0
        check(let_in == len(crowd) == 2 * half, f"a server that is busy keeps {2 * half} new connections waiting, and drops none", let_in)
        for client in clients:
            client.send(request(server.port, "GET", "/healthz"))
        server.process.send_signal(signal.SIGCONT)
        statuses = []
        for client in clients:
            try:
                statuses.append(client.answer().status)
            except (OSError, EOFError) as error:
                statuses.append(repr(error))
        check(statuses == [200, 200], "those among them who ask are answered, whoever came behind them", statuses)
        check(server.metric("atrous_connections") <= 64, "of the others no more stay than may be", server.metric("atrous_connections"))
        for one in crowd:
            one.close()


def no_descriptors():
    """Whoever asks is answered beside more idle connections than the server has descriptors for. Not under a sanitizer,
    which wants one for its own checks."""
    with Server(PROGRAM, "--sessions", "1") as server:
        descriptors = len(list(pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir())) + 20
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (descriptors, descriptors))
        crowd = [Client(server.port) for _ in range(100)]
        try:  # an idle connection stays for 15 seconds
            statuses = [server.ask("GET", "/healthz", timeout=10).status for _ in range(3)]
        except (OSError, EOFError) as error:
            statuses = [repr(error)]
        check(statuses == [200] * 3, "100 idle connections and 20 descriptors: whoever asks is answered", statuses)
        kept = server.metric("atrous_connections")
        check(kept >= 19, "and no more of them go than have to", kept)
        for one in crowd:
            one.socket.close()


def limits():
    street = STREET.read_bytes()
    with Server(PROGRAM, "--sessions", "1", "--queue", "2", "--timeout", "3", "--threads", "1", "--size", "1400x1400", small=False) as server:
        found, lock = [], threading.Lock()

        def ask(target="/v1/segment?output=labels"):
            begin = time.monotonic()
            try:
                answer = server.segment(street, target)
            except (OSError, EOFError):  # the first is not waited for
                return
            with lock:
                found.append((answer.status, time.monotonic() - begin, answer))

        def start(count, *arguments):
            threads = [threading.Thread(target=ask, args=arguments, daemon=True) for _ in range(count)]
            for thread in threads:
                thread.start()
            return threads

        # As much work as is taken, so that no machine is done with it before the others have been refused.
        start(1, "/v1/segment?output=labels&scales=1,1.5,2&flip=1")
        check(server.wait_for("atrous_sessions_busy", lambda n: n == 1), "one photo is computed")
        threads = start(2)
        check(server.wait_for("atrous_queue_length", lambda n: n == 2), "two wait")
        threads += start(5)
        for thread in threads:
            thread.join()
        statuses = sorted(status for status, _, _ in found)
        check(statuses == [429] * 5 + [503] * 2, "five more get 429, and those that wait longer than --timeout 503", statuses)
        check(server.metric("atrous_sessions_busy") == 1 and server.metric("atrous_queue_length") == 0,
              "while the one is computed still, and nobody waits")
        for status, seconds, answer in found:
            check(int(answer.fields["retry-after"]) >= 1, f"{status} has Retry-After", answer.fields)
            if status == 503:
                check(seconds > 2.9, "503 comes when the time is over", seconds)
        check(server.metric('atrous_requests_total{path="/v1/segment",code="429"}') == 5, "/metrics counts them")


def at_the_end():
    street = STREET.read_bytes()
    with Server(PROGRAM, "--sessions", "1", "--threads", "1", "--size", "1000x1000", small=False) as server:
        runs = Client(server.port)
        runs.send(request(server.port, "POST", "/v1/segment?output=labels", street))
        check(server.wait_for("atrous_sessions_busy", lambda n: n == 1), "a photo is computed")
        for _ in range(20):
            with Client(server.port) as client:
                client.send(request(server.port, "POST", "/v1/segment", street))
        check(server.wait_for("atrous_queue_length", lambda n: n == 0, 5), "photos that nobody waits for any more leave the queue")
        check(runs.answer().status == 200, "the others are computed")
        runs.socket.close()
        answers = []
        idle = Client(server.port)
        idle.ask("GET", "/healthz")

        def ask():
            answers.append(server.segment(street, "/v1/segment?output=labels").status)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        check(server.wait_for("atrous_sessions_busy", lambda n: n == 1) and
              server.wait_for("atrous_queue_length", lambda n: n == 1), "one photo is computed, one waits")
        server.terminate()
        time.sleep(0.3)
        check(idle.ended(), "SIGTERM: idle connections end")
        try:
            Client(server.port, timeout=2)
            check(False, "SIGTERM: no new connections")
        except ConnectionError:
            check(True, "SIGTERM: no new connections")
        for thread in threads:
            thread.join()
        check(answers == [200, 200], "SIGTERM: what runs and what waits is answered", answers)
        check(server.status() == 0 and not server.process.stderr.read(), "SIGTERM: exit 0, in silence")


def memory():
    with Server(PROGRAM, "--sessions", "1") as server:
        for _ in range(3):
            server.segment(PHOTO)
        before = server.resident()
        stuck = []
        for _ in range(100):  # 100 bodies of 31 MB each, all but their last byte
            client = Client(server.port, timeout=5)
            client.send(request(server.port, "POST", "/v1/segment", None, {"Content-Length": "31000000"}))
            try:
                client.socket.settimeout(1)
                for _ in range(30):
                    client.send(b"x" * 1_000_000)
            except OSError:
                pass
            stuck.append(client)
            if len(stuck) == 14:
                break
        peak = server.peak()
        check(peak < before + 256e6 + 64e6, f"bodies that wait take no more than 256 MB: {(peak - before) / 1e6:.0f} MB", (before, peak))
        check(server.segment(PHOTO).status == 200, "beside them a photo is answered")
        for client in stuck:
            client.socket.close()
        for _ in range(50):
            server.segment(PHOTO)
        check(server.wait_for("atrous_buffered_bytes", lambda n: n == 0), "the bodies of those that are gone are gone")
        after = server.resident()
        check(after < before + 16e6, f"afterwards it has what it had: {before / 1e6:.0f} and {after / 1e6:.0f} MB", (before, after))


def main():
    with Server(PROGRAM, "--sessions", "1") as server:
        heads(server)
        pictures(server)
        connections(server)
        server.terminate()
        check(server.status() == 0, "and it ends in order", server.process.returncode)
    slow()
    crowds()
    limits()
    at_the_end()
    if sys.argv[2:] != ["sanitized"]:
        no_descriptors()
        memory()
    report()


main()

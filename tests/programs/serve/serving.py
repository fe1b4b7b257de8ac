"""atrous-serve as a process, and requests as bytes: what every test of it shares. Standard library alone."""
import contextlib
import json
import pathlib
import re
import signal
import socket
import struct
import subprocess
import time
import zlib

HERE = pathlib.Path(__file__).resolve().parent
STREET = HERE.parents[1] / "street/street.png"

failures = []


def check(good, statement, found=""):
    print(f"{'ok  ' if good else 'FAIL'} {statement}{'' if good else f': {found!r}'[:600]}", flush=True)
    if not good:
        failures.append(statement)


def grey_png(width, height, value=lambda x, y: (16 * x + 8 * y) % 256):
    """A grey PNG of 8 bits, rows without a filter (https://www.w3.org/TR/png/)."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes(value(x, y) for x in range(width)) for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def json(self):
        return json.loads(self.body)


class Client:
    """One connection; what is sent is exactly what is given."""

    def __init__(self, port, timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port, self.rest = port, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError(f"the connection ended behind {self.rest[:200]!r}")
        self.rest += data

    def answer(self, head_only=False):
        while b"\r\n\r\n" not in self.rest:
            self._more()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        line, *lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for field in lines:
            name, value = field.split(":", 1)
            if name.lower() in fields:
                raise ValueError(f"{name} is there twice")
            fields[name.lower()] = value.strip()
        status = int(re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z -]+", line).group(1))
        length = 0 if head_only or status in (100, 204) else int(fields["content-length"])
        while len(self.rest) < length:
            self._more()
        body, self.rest = self.rest[:length], self.rest[length:]
        return Answer(status, fields, body)

    def ask(self, method, target, body=None, fields=None):
        self.send(request(self.port, method, target, body, fields))
        return self.answer(method == "HEAD")

    def ended(self, seconds=10):
        """Whether the server ends the connection within that time, sending nothing more."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False


def request(port, method, target, body=None, fields=None):
    all_fields = {"Host": f"127.0.0.1:{port}"}
    if body is not None:
        all_fields["Content-Length"] = str(len(body))
    all_fields.update(fields or {})
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in all_fields.items() if v is not None)
    return head.encode("latin-1") + b"\r\n" + (body or b"")


class Server:
    """atrous-serve with the built-in network at 64 pixels a side, unless other options are given."""

    def __init__(self, program, *options, small=True):
        self.process = subprocess.Popen(
            [program, *([] if "--listen" in options else ["--listen", "127.0.0.1:0"]), *(["--size", "64x64"] if small else []), *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.process.stderr.read())
        self.port = int(line.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def client(self, timeout=60):
        return Client(self.port, timeout)

    def ask(self, method, target, body=None, fields=None, timeout=60):
        with self.client(timeout) as client:
            return client.ask(method, target, body, fields)

    def segment(self, body, target="/v1/segment", fields=None):
        return self.ask("POST", target, body, fields)

    def metric(self, name):
        for line in self.ask("GET", "/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        raise KeyError(name)

    def wait_for(self, name, wanted, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError, EOFError):
                if wanted(self.metric(name)):
                    return True
            time.sleep(0.02)
        return False

    def resident(self):
        """Bytes of memory that the process has."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1))

    def peak(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", text).group(1))

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def status(self, seconds=30):
        return self.process.wait(seconds)


def report():
    if failures:
        print(f"{len(failures)} failed: " + "; ".join(failures))
    raise SystemExit(1 if failures else 0)



"""What atrous-serve answers: every example of its OpenAPI description, the program's own results, and who may ask.

usage: answers.py ATROUS_SERVE ATROUS [full]    full: a network that finds instances too. Needs Debian's python3-jsonschema; exits 77 (skipped) without it.
"""
import base64
import datetime
import fcntl
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

try:
    import jsonschema
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)
from serving import HERE, STREET, Client, Server, check, grey_png, report, request

PROGRAM, ATROUS = sys.argv[1:3]


# ---- the description

def resolved(description, part):
    """What a $ref stands for."""
    while "$ref" in part:
        found = description
        for key in part["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        part = found
    return part


def validator(description, schema):
    return jsonschema.Draft202012Validator(
        {**schema, "components": description["components"]}, format_checker=jsonschema.FormatChecker())


def example_body(content_type, value):
    return base64.b64decode(value) if content_type == "image/png" else value.encode()


def replay_operation(server, description, path, method, operation):
    """Each example of an answer, asked for by the parameters' and bodies' examples of the same name."""
    bodies = {}
    for content_type, media in operation.get("requestBody", {}).get("content", {}).items():
        for name, example in media.get("examples", {}).items():
            bodies[name] = (content_type, example_body(content_type, example["value"]))
    used, count = set(), 0
    for status, answer in operation["responses"].items():
        for content_type, media in resolved(description, answer).get("content", {}).items():
            for name in media.get("examples", {}):
                query, fields = {}, {}
                for parameter in operation.get("parameters", []):
                    if name in parameter.get("examples", {}):
                        value = parameter["examples"][name]["value"]
                        errors = list(validator(description, parameter["schema"]).iter_errors(value))
                        if errors and status == "200":
                            check(False, f"{name}: {parameter['name']} is as its schema says", errors)
                        (query if parameter["in"] == "query" else fields)[parameter["name"]] = value
                body = None
                if name in bodies:
                    fields["Content-Type"], body = bodies[name]
                used.add(name)
                target = path + ("?" + urllib.parse.urlencode(query) if query else "")
                found = server.ask(method.upper(), target, body, fields)
                says = f"{method.upper()} {target}, {name}"
                check(str(found.status) == status, f"{says}: {status}", (found.status, found.body[:300]))
                check(found.fields.get("content-type") == content_type, f"{says}: {content_type}", found.fields)
                if "json" in content_type:
                    errors = [e.message for e in validator(description, media["schema"]).iter_errors(found.json())]
                    check(not errors, f"{says}: as the schema says", errors)
                else:
                    signature = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}.get(content_type, b"")
                    check(found.body.startswith(signature) and found.body, f"{says}: begins as its type", found.body[:20])
                count += 1
    return count, (set(bodies) | {n for p in operation.get("parameters", []) for n in p.get("examples", {})}) - used


def replay(server):
    description = server.ask("GET", "/openapi.json").json()
    check(description["openapi"] == "3.1.0", "the description is OpenAPI 3.1", description["openapi"])
    for schema in description["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            count, left = replay_operation(server, description, path, method, operation)
            check(count > 0 and not left, f"{method.upper()} {path}: {count} examples, each with an answer", left)
    paths = set(description["paths"])
    asked = {p for p in itertools.chain(paths, ["/api"]) if server.ask("GET", p).status in (200, 405)}
    check(paths <= asked, "every path that is described is there", paths - asked)


# ---- the program's own results

def same_as_program():
    with tempfile.TemporaryDirectory() as folder, Server(PROGRAM, "--sessions", "1") as server:
        out = pathlib.Path(folder)
        subprocess.run([ATROUS, "segment", str(STREET), "--size", "64x64", "-o", folder, "--labels", "--confidence", "-q", "--json", f"{folder}/one.json"],
                       check=True)
        subprocess.run([ATROUS, "segment", str(STREET), "--size", "64x64", "-o", f"{folder}/indexed", "--indexed", "--no-mask", "--format", "jpg", "-q"],
                       check=True)
        photo = STREET.read_bytes()
        for target, fields, file in (("?output=labels", {}, "street.labels.png"), ("?output=mask", {}, "street.mask.png"),
                                     ("?output=overlay", {}, "street.overlay.png"), ("", {"Accept": "image/png"}, "street.labels.png"),
                                     ("?output=confidence", {}, "street.confidence.png"),
                                     ("?output=indexed", {}, "indexed/street.labels.png"),
                                     ("", {"Accept": "image/jpeg"}, "indexed/street.overlay.jpg")):
            found = server.segment(photo, "/v1/segment" + target, fields)
            check(found.body == (out / file).read_bytes(), f"{target or fields}: the bytes that atrous segment writes as {file}",
                  (found.status, len(found.body)))
        found = server.segment(photo, "/v1/segment?include=labels,confidence&name=street.png").json()
        for part in ("labels", "confidence"):
            check(base64.b64decode(found.pop(part)) == (out / f"street.{part}.png").read_bytes(), f"JSON includes street.{part}.png")

        wanted = json.loads((out / "one.json").read_text())[0]
        for one in (found, wanted):
            one.pop("seconds")
            one.pop("written")
            one["file"] = pathlib.Path(one["file"]).name
        check(found == wanted, "JSON is that of atrous segment --json", (found, wanted))


def refined():
    """?crf=, ?scales= and ?flip= are the program's options, and what they cost has limits."""
    photo = STREET.read_bytes()
    with tempfile.TemporaryDirectory() as folder, Server(PROGRAM, "--sessions", "1", "--max-crf-megapixels", "1", "--max-runs", "5") as server:
        for number, (target, options) in enumerate((("crf=1", ["--crf"]), ("scales=0.5,1&flip=1", ["--scales", "0.5,1", "--flip"]),
                                                    ("flip=1&crf=1", ["--flip", "--crf"]), ("crf=0&flip=0", []))):
            out = pathlib.Path(folder, str(number))
            subprocess.run([ATROUS, "segment", str(STREET), "--size", "64x64", "-o", str(out), "--labels", "-q", "--json", f"{folder}/{number}.json", *options],
                           check=True)
            found = server.segment(photo, f"/v1/segment?output=labels&{target}")
            check(found.body == (out / "street.labels.png").read_bytes(), f"{target}: the labels that atrous segment {' '.join(options)} writes",
                  (found.status, found.body[:200]))
            found = server.segment(photo, f"/v1/segment?name=street.png&{target}").json()
            wanted = json.loads(pathlib.Path(folder, f"{number}.json").read_text())[0]
            for part in ("crf", "protocol", "classes"):
                check(found.get(part) == wanted.get(part), f"{target}: {part} of the JSON is the program's", (found.get(part), wanted.get(part)))
        for target, status, words in (("crf=yes", 400, "crf: expected 0 or 1"), ("flip=", 200, ""), ("flip=2", 400, "flip: expected 0 or 1"),
                                      ("scales=1,x", 400, "scales: expected numbers"), ("scales=9", 400, "scale 9"), ("scales=nan", 400, "scale nan"),
                                      ("scales=" + ",".join(["1"] * 17), 400, "17 scales"), ("scales=1.5&flip=1", 200, ""),
                                      ("scales=1.6&flip=1", 413, "5.12 times the work of one run, at most 5"), ("scales=2,2", 413, "8 times")):
            found = server.segment(photo, "/v1/segment?" + target)
            check(found.status == status and (status == 200 or words in found.json()["detail"]), f"{target}: {status} {words}", (found.status, found.body[:300]))
        found = server.segment(grey_png(1100, 1000), "/v1/segment?crf=1")
        check(found.status == 413 and "1100000 pixels, with crf at most 1000000" in found.json()["detail"], "a CRF on a larger photo: 413", found.body[:300])
        limits = server.ask("GET", "/v1/models").json()["limits"]
        check((limits["runs"], limits["crf_pixels"]) == (5, 1_000_000), "the limits are said", limits)


LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (\S+) (\S+) (\S+) (\d{3}|-) (\d+) (\d+\.\d{3})")


LOST = re.compile(r"# \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\d+) lines? lost")


def unread(server):
    """Its log goes to a pipe that nobody reads: requests are answered, and the log says afterwards how many lines are missing."""
    pipe = server.process.stdout
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
    before, count = server.metric("atrous_log_lines_lost_total"), 0
    path = "/" + "%20" * 640  # of which the log has %2520
    while server.metric("atrous_log_lines_lost_total") == before and count < 1000:
        server.ask("GET", path, timeout=20)
        count += 1
    lost = server.metric("atrous_log_lines_lost_total") - before
    check(lost > 0, "lines beyond a megabyte that nobody reads are lost and counted", (count, lost))
    check(server.segment(grey_png(32, 32)).status == 200, "a log that nobody reads keeps no photo waiting")
    found = []
    reader = threading.Thread(target=lambda: found.extend(iter(pipe.readline, "")))
    reader.start()
    end = time.monotonic() + 20
    while not any(map(LOST.match, found)) and time.monotonic() < end:
        server.ask("GET", "/healthz")
        time.sleep(0.05)
    lost = server.metric("atrous_log_lines_lost_total") - before
    server.terminate()
    check(server.status() == 0, "the server ends", server.process.returncode)
    reader.join()
    check(all(LINE.fullmatch(line.rstrip("\n")) or LOST.fullmatch(line.rstrip("\n")) for line in found), "each line is whole",
          [line[:200] for line in found])
    said = [int(one.group(1)) for one in map(LOST.match, found) if one]
    check(sum(said) == lost, "the log says how many lines are missing", (said, lost))
    check(found[-1].split()[2:5] in (["GET", "/metrics", "200"], ["GET", "/healthz", "200"]), "and goes on", found[-1:])


def unread_to_the_end():
    """SIGTERM ends the server though nobody reads its log."""
    with Server(PROGRAM, "--log", "-") as server:
        fcntl.fcntl(server.process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        with server.client() as client:
            for _ in range(200):
                client.ask("GET", "/healthz")
        server.terminate()
        check(server.status() == 0, "SIGTERM ends a server whose log nobody reads")


def log():
    """One line a request, with nothing secret in it; a file that is moved away is begun anew."""
    with tempfile.TemporaryDirectory() as folder:
        tokens, file = pathlib.Path(folder, "tokens"), pathlib.Path(folder, "access.log")
        secret = "the-secret-0123456789"
        tokens.write_text(secret + "\n")
        tokens.chmod(0o600)
        photo = grey_png(32, 32)

        def lines(path=file, count=0):
            end = time.monotonic() + 10
            while True:
                found = path.read_text().splitlines() if path.exists() else []
                if len(found) >= count or time.monotonic() > end:
                    return found
                time.sleep(0.02)
        with Server(PROGRAM, "--log", str(file), "--token-file", str(tokens), "--sessions", "1") as server:
            bearer = {"Authorization": f"Bearer {secret}"}
            answer = server.segment(photo, f"/v1/segment?output=labels&name={secret}", bearer)
            server.ask("GET", f"/healthz?token={secret}")
            server.segment(photo, "/v1/segment", {"Authorization": "Bearer wrong-0123456789abc"})
            server.ask("GET", "/no/such%20path")
            with Client(server.port) as client:
                client.send(b"no HTTP at all\r\n\r\n")
                client.answer()
            with Client(server.port) as client:  # two requests in one connection
                client.ask("GET", "/healthz")
                client.ask("HEAD", "/healthz")
            with Client(server.port) as client:  # gone within a body
                client.send(request(server.port, "POST", "/v1/segment", photo, bearer)[:-5])
            with Client(server.port) as client:  # gone within a head, and before one: no requests
                client.send(b"GET /heal")
            Client(server.port).socket.close()
            found = [LINE.fullmatch(line) for line in lines(count=8)]
            check(all(found) and len(found) == 8, "each line is seven words", lines())
            words = [one.groups()[1:5] for one in found if one]
            wanted = [("127.0.0.1", "POST", "/v1/segment", "200"), ("127.0.0.1", "GET", "/healthz", "400"), ("127.0.0.1", "POST", "/v1/segment", "401"),
                      ("127.0.0.1", "GET", "/no/such%2520path", "401"), ("127.0.0.1", "-", "-", "400"), ("127.0.0.1", "GET", "/healthz", "200"),
                      ("127.0.0.1", "HEAD", "/healthz", "200"), ("127.0.0.1", "POST", "/v1/segment", "-")]
            check(words == wanted, "method, path and status of each request, in the order in which they ended", words)
            check(secret not in file.read_text() and "wrong" not in file.read_text(), "neither tokens nor queries are in the log", file.read_text())
            head = sum(len(f"{k}: {v}\r\n") for k, v in answer.fields.items()) + len("HTTP/1.1 200 OK\r\n\r\n")
            check(int(found[0].group(6)) == head + len(answer.body), "bytes are those of head and body", (found[0].group(6), head, len(answer.body)))
            check(0 < float(found[0].group(7)) < 60, "seconds of a photo", found[0].group(7))
            now = datetime.datetime.now(datetime.timezone.utc)
            when = datetime.datetime.fromisoformat(found[-1].group(1).replace("Z", "+00:00"))
            check(abs((now - when).total_seconds()) < 60, "the time is UTC", (now, when))
            check(file.stat().st_mode & 0o007 == 0, "others may not read the log", oct(file.stat().st_mode))
            moved = file.rename(pathlib.Path(folder, "access.log.1"))
            end = time.monotonic() + 20
            while not file.exists() and time.monotonic() < end:
                time.sleep(0.05)
            server.ask("GET", "/healthz")
            check(len(lines(count=1)) == 1 and len(lines(moved)) == 8, "a log that was moved away is begun anew", (lines(), lines(moved)))
        with Server(PROGRAM, "--log", "-") as server:
            server.ask("GET", "/healthz")
            line = server.process.stdout.readline()
            check(LINE.fullmatch(line.rstrip("\n")), "--log -: on standard output", line)
            unread(server)
        refused = subprocess.run([PROGRAM, "--listen", "127.0.0.1:0", "--log", "/no/such/folder/log"], capture_output=True, text=True)
        check(refused.returncode == 1 and "/no/such/folder/log" in refused.stderr, "a log that cannot be opened is refused", refused.stderr)


def instances():
    with Server(PROGRAM, "-m", "seeded:maskrcnn_resnet50_fpn", "--arch", "min_size=64,max_size=96", "--sessions", "1", small=False) as server:
        photo = grey_png(48, 32)
        description = server.ask("GET", "/openapi.json").json()
        schemas = description["components"]["schemas"]
        models = server.ask("GET", "/v1/models").json()
        check(models["models"][0]["task"] == "instances" and models["models"][0]["masks"], "a network of instances says so", models)
        for target, schema in (("?output=instances", "Instances"), ("?output=json", "Instances"),
                               ("?include=labels,instance_map", "InstancesWithPictures")):
            found = server.segment(photo, "/v1/segment" + target)
            errors = [e.message for e in validator(description, schemas[schema]).iter_errors(found.json())]
            check(found.status == 200 and not errors, f"instances, {target}: as the schema says", (found.status, errors))
        check(server.segment(photo, "/v1/segment?output=confidence").status == 400, "instances have no confidence of pixels")
        check(server.segment(photo, "/v1/segment?crf=1").status == 400, "instances have no CRF")
        few = server.segment(photo, "/v1/segment?score=0.999").json()
        check(few == [], "a score leaves instances out", few)


# ---- who may ask

def hosts(server):
    port = server.port
    for host, status in ((f"127.0.0.1:{port}", 200), (f"localhost:{port}", 200), (f"LOCALHOST:{port}", 200), (f"[::1]:{port}", 200),
                         ("localhost", 421), (f"localhost:{port + 1}", 421), (f"evil.example:{port}", 421), ("", 421),
                         (f"127.0.0.1.evil.example:{port}", 421), (f"localhost.:{port}", 421), (f"user@localhost:{port}", 421)):
        found = server.ask("GET", "/healthz", fields={"Host": host})
        check(found.status == status, f"Host: {host.replace(str(port), 'PORT')}: {status}", found.status)
    check(server.ask("GET", "/healthz", fields={"Host": None}).status == 400, "no Host: 400")


def origins(server):
    port = server.port
    for origin, status in ((f"http://127.0.0.1:{port}", 200), ("https://evil.example", 403), ("null", 403),
                           (f"http://127.0.0.1:{port}.evil.example", 403)):
        found = server.ask("GET", "/v1/models", fields={"Origin": origin})
        check(found.status == status, f"Origin: {origin.replace(str(port), 'PORT')}: {status}", found.status)
        check("access-control-allow-origin" not in found.fields, "no CORS unless asked", found.fields)
    with Server(PROGRAM, "--cors", "https://app.example") as other:
        found = other.ask("OPTIONS", "/v1/segment", fields={"Origin": "https://app.example", "Access-Control-Request-Method": "POST"})
        check(found.status == 204 and found.fields["access-control-allow-origin"] == "https://app.example" and
              found.fields["vary"] == "Origin", "--cors: its origin may ask", found.fields)
        found = other.segment(grey_png(8, 8), fields={"Origin": "https://app.example"})
        check(found.status == 200 and found.fields["access-control-allow-origin"] == "https://app.example",
              "--cors: its origin sees the answer", found.fields)
        check(other.ask("OPTIONS", "/v1/segment", fields={"Origin": "https://evil.example"}).status == 403, "--cors: others may not ask")


def tokens():
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "tokens")
        first, second = "first-token-0123456789", "second-token-9876543210"
        file.write_text(f"{first}\n{second}\n")
        file.chmod(0o644)
        refused = subprocess.run([PROGRAM, "--listen", "127.0.0.1:0", "--token-file", str(file)], capture_output=True, text=True)
        check(refused.returncode == 1 and "everybody on this machine" in refused.stderr and first not in refused.stderr,
              "tokens that everybody may read are refused", refused.stderr)
        file.chmod(0o600)
        with Server(PROGRAM, "--token-file", str(file)) as server:
            photo = grey_png(8, 8)
            for value, status in ((f"Bearer {first}", 200), (f"bearer {second}", 200), (None, 401), (f"Bearer {first}x", 401),
                                  (f"Bearer {first[:-1]}", 401), ("Bearer ", 401), (f"Basic {first}", 401), (first, 401)):
                found = server.segment(photo, fields={"Authorization": value})
                check(found.status == status, f"Authorization: {value}: {status}", found.status)
                if status == 401:
                    check(found.fields.get("www-authenticate", "").startswith("Bearer"), "401 says Bearer", found.fields)
            for path, status in (("/healthz", 200), ("/", 200), ("/openapi.json", 200), ("/metrics", 401), ("/v1/models", 401)):
                check(server.ask("GET", path).status == status, f"{path} without a token: {status}")
            command = pathlib.Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
            check(first.encode() not in command, "no token is on the command line")
        for content in ("", "short\n", "with space in the token\n"):
            file.write_text(content)
            refused = subprocess.run([PROGRAM, "--listen", "127.0.0.1:0", "--token-file", str(file)], capture_output=True, text=True)
            check(refused.returncode == 1 and refused.stderr, f"a token file of {content!r} is refused", refused.stderr)
    for options, status in ((["--listen", "0.0.0.0:0"], 2), (["--listen", "localhost:0"], 1), (["--listen", "127.0.0.1"], 1),
                            (["--listen", "127.0.0.1:70000"], 1), (["--cors", "evil"], 1), (["--device", "abacus"], 2)):
        refused = subprocess.run([PROGRAM, *options], capture_output=True, text=True, timeout=30)
        check(refused.returncode == status and refused.stderr.startswith("atrous"), f"{' '.join(options)}: refused in a sentence",
              (refused.returncode, refused.stderr))
    with Server(PROGRAM, "--device", "cpu") as server:
        check(server.segment(grey_png(32, 32)).status == 200, "--device cpu: the processor computes")
    with Server(PROGRAM, "--listen", "0.0.0.0:0", "--no-token") as server:
        check(server.ask("GET", "/healthz", fields={"Host": f"localhost:{server.port}"}).status == 200, "--no-token: beyond loopback")
        check(server.ask("GET", "/healthz", fields={"Host": f"evil.example:{server.port}"}).status == 421, "--no-token: names as ever")


# ---- documents

def documents(server):
    """The curl commands of the README, and of the page about the interface, as they stand there."""
    readme = (HERE.parents[2] / "README.md").read_text()
    pages = {"README.md": readme, "runtime/serve/README.md": (HERE.parents[2] / "runtime/serve/README.md").read_text(),
             "/api": server.ask("GET", "/api").body.decode()}
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "street.jpg").write_bytes(STREET.read_bytes())
        for name, text in pages.items():
            commands = [c for c in re.findall(r"^(?:<pre>)?(curl .*?)(?:</pre>)?$", text, re.MULTILINE) if "TOKEN" not in c]
            check(len(commands) >= 2, f"{name} has curl commands", commands)
            for command in commands:
                command = command.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
                done = subprocess.run(["bash", "-c", command.replace("curl ", "curl -sSf ", 1)], cwd=folder, capture_output=True)
                check(done.returncode == 0, f"{name}: {command.split('|')[0]}", done.stderr)
        check(pathlib.Path(folder, "street.overlay.png").read_bytes().startswith(b"\x89PNG"), "curl's overlay is a PNG", os.listdir(folder))


def main():
    with Server(PROGRAM, "--sessions", "1") as server:
        replay(server)
        hosts(server)
        origins(server)
        documents(server)
        for method, status in (("HEAD", 200), ("POST", 405), ("PUT", 405), ("TRACE", 501)):
            found = server.ask(method, "/healthz", fields={"Content-Length": "0"} if method == "POST" else {})
            check(found.status == status, f"{method} /healthz: {status}", found.status)
        check(server.ask("GET", "/v1/nothing").status == 404, "404 for what is not there")
        with Client(server.port) as client:
            both = [client.ask("GET", "/healthz").status for _ in range(3)]
            check(both == [200, 200, 200], "a connection serves several requests", both)
        check(server.segment(b"x", fields={"Content-Type": "multipart/form-data; boundary=x"}).status == 415, "a form: 415")
        check(server.segment(b"x", fields={"Content-Encoding": "gzip"}).status == 415, "gzip: 415")
        check("script-src 'self'" in server.ask("GET", "/").fields["content-security-policy"], "the page has a policy")
    tokens()
    log()
    unread_to_the_end()
    same_as_program()
    refined()
    if sys.argv[3:] == ["full"]:
        instances()
    report()


main()

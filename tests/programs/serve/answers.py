"""What atrous-serve answers: every example of its OpenAPI description, the program's own results, and who may ask.

usage: answers.py ATROUS_SERVE ATROUS [full]    full: a network that finds instances too. Needs Debian's python3-jsonschema; exits 77 (skipped) without it.
"""
import base64
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.parse

try:
    import jsonschema
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)
from serving import HERE, STREET, Client, Server, check, grey_png, report

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
                            (["--listen", "127.0.0.1:70000"], 1), (["--cors", "evil"], 1)):
        refused = subprocess.run([PROGRAM, *options], capture_output=True, text=True, timeout=30)
        check(refused.returncode == status and refused.stderr.startswith("atrous"), f"{' '.join(options)}: refused in a sentence",
              (refused.returncode, refused.stderr))
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
    same_as_program()
    if sys.argv[3:] == ["full"]:
        instances()
    report()


main()

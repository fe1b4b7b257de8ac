"""Makes one file of the page: styles, scripts, module, network and example are within it, so that it opens from a disk.

usage: single.py FOLDER OUT    FOLDER: what `make web` writes; OUT: the file, atrous.html
"""
import base64
import hashlib
import os
import pathlib
import re
import sys

# What page.js and worker_computer.js look for within the page before they ask for a file (embedded()).
PARTS = "atrous.js", "atrous_c.js", "worker.js", "atrous.wasm", "default.safetensors", "street.png"


def replaced(pattern, by, text):
    """The text with each match replaced by what by(match) says. There is at least one."""
    found, count = re.subn(pattern, by, text)
    if count == 0:
        sys.exit(f"single.py: index.html has no {pattern}")
    return found


def one_file(folder):
    hashes = {"script-src": [], "style-src": []}

    def inline(kind, tag, name):
        content = (folder / name).read_text(encoding="utf-8")
        if f"</{tag}" in content:
            sys.exit(f"single.py: {name} holds </{tag}, which would end it")
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
        return f"<{tag}>{content}</{tag}>"

    page = (folder / "index.html").read_text(encoding="utf-8")
    page = replaced(r'<link rel="stylesheet" href="([a-z_.]+)">', lambda m: inline("style-src", "style", m[1]), page)
    page = replaced(r'<script src="([a-z_.]+)"></script>', lambda m: inline("script-src", "script", m[1]), page)
    policy = (f"default-src 'none'; script-src {' '.join(hashes['script-src'])} 'wasm-unsafe-eval'; "
              f"style-src {' '.join(hashes['style-src'])}; img-src data: blob:; worker-src blob:; base-uri 'none'; form-action 'none'")
    page = replaced(r'(http-equiv="Content-Security-Policy" content=)"[^"]*"', lambda m: f'{m[1]}"{policy}"', page)
    parts = "\n".join(f'<script type="application/octet-stream" data-part="{name}">'
                      f"{base64.b64encode((folder / name).read_bytes()).decode()}</script>" for name in PARTS)
    head, rest = page.split("<script>", 1)
    return f"{head}{parts}\n<script>{rest}"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, out = map(pathlib.Path, sys.argv[1:])
    unfinished = out.with_name(out.name + ".part")
    unfinished.write_text(one_file(folder), encoding="utf-8")
    os.replace(unfinished, out)


main()

#!/usr/bin/env python3
"""Checks every page (*.md) of the repository against the repository.

usage: pages.py PROGRAM [--figures] [--ladder PROGRAM]

Links lead to files that are there, and their anchors to headings; file names in `code` exist; commands name verbs, options,
make's targets and scripts that exist; drawings are what their script draws. With --figures the figures too: what follows
"$ atrous ..." in a block marked console is what the program prints, where a line "..." stands for any lines. With --ladder
(atrous_ladder, which `make ladder` runs) the rows of the ladder's table, but for their times, which no two machines share.
Needs the standard library alone.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OTHERS = {"atrous.pc", "resnet.py", "mobilenetv3.py"}  # the build's, and torchvision's
SOURCE_ENDINGS = (".h", ".cc", ".cu", ".py", ".md", ".svg", ".cmake", ".sh", ".txt", ".yml", ".map", ".in", ".abi")


def tracked() -> list[str]:
    """What git knows or would add; without git, all files but those in build folders."""
    try:
        return subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                              capture_output=True, text=True).stdout.split("\n")[:-1]
    except (OSError, subprocess.CalledProcessError):
        files = (p.relative_to(ROOT) for p in ROOT.rglob("*") if p.is_file())
        return [str(p) for p in files if not p.parts[0].startswith("build") and p.parts[0] != ".git"]


def anchor(heading: str) -> str:
    """As GitHub makes it: small letters, without what is neither letter, digit, space, hyphen nor underscore."""
    text = re.sub(r"`|\*|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(text: str) -> set[str]:
    return {anchor(m.group(1)) for m in re.finditer(r"^#+ +(.*?) *$", without_blocks(text), re.M)}


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


class Pages:
    def __init__(self, program: str):
        self.program, self.faults = program, []
        self.files = tracked()
        self.names = set(self.files)

    def fault(self, page: Path, words: str) -> None:
        self.faults.append(f"{page.relative_to(ROOT)}: {words}")

    def check_links(self, page: Path, text: str) -> None:
        for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(text)) + re.findall(r'src="([^"]+)"', text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, part = target.partition("#")
            file = page if not name else Path(os.path.normpath(page.parent / name))
            if not file.exists():
                self.fault(page, f"the link {target} leads nowhere")
            elif part and file.suffix == ".md" and part not in anchors(file.read_text()):
                self.fault(page, f"the link {target} leads to no heading of {file.name}")

    def check_names(self, page: Path, text: str) -> None:
        """Words in `code` that look like files of the sources: beside the page, or the end of a path."""
        for word in re.findall(r"`([\w./-]+)`", without_blocks(text)):
            if not word.endswith(SOURCE_ENDINGS) or word.startswith(("/", ".", "build")) or re.search(r"\b[A-Z]+\.", word):
                continue
            beside = os.path.relpath(os.path.normpath(page.parent / word), ROOT)
            if beside not in self.names and not any(f.endswith("/" + word) or f == word for f in self.files) and \
                    Path(word).name not in OTHERS:
                self.fault(page, f"there is no file {word}")

    @functools.cache
    def help_of(self, verb: str) -> str | None:
        run = subprocess.run([self.program, *verb.split(), "--help"], capture_output=True, text=True)
        return run.stdout if run.returncode == 0 else None

    def check_command(self, page: Path, command: str) -> None:
        words = command.split("#")[0].split("|")[0].split("`")[0].split()
        if len(words) < 2 or not re.fullmatch(r"[a-z]+", words[1]):
            return
        usage = self.help_of(words[1])
        if usage is None:
            return self.fault(page, f"{command}: atrous has no verb {words[1]}")
        for word in words[2:]:
            option = re.match(r"--[a-z][a-z0-9-]*", word)
            if option and not re.search(re.escape(option.group()) + r"(?![\w-])", usage):
                self.fault(page, f"{command}: atrous {words[1]} has no option {option.group()}")

    def check_commands(self, page: Path, text: str) -> None:
        commands = re.findall(r"`(atrous [a-z][^`]*)`", without_blocks(text))
        for block in re.findall(r"^```.*?^```", text, re.M | re.S):
            commands += re.findall(r"(?:^|\| )(?:\$ )?(atrous [a-z].*)$", block, re.M)
        for command in commands:
            self.check_command(page, command)
        targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))
        for word in re.findall(r"(?:^|`)make ([a-z][\w-]*)", text, re.M):
            if word not in targets:
                self.fault(page, f"make {word}: the Makefile has no such target")

    def check_figures(self, page: Path, text: str, folder: str) -> int:
        count = 0
        for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
            for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
                command, _, shown = part.partition("\n")
                words = command.split()
                if words[0] != "atrous":
                    continue
                count += 1
                run = subprocess.run([self.program, *words[1:]], capture_output=True, text=True, cwd=ROOT,
                                     env={**os.environ, "TMPDIR": folder})
                pattern = "".join(r"(?:.*\n)*?" if line == "..." else re.escape(line.rstrip()) + r"[ ]*\n"
                                  for line in shown.rstrip("\n").split("\n"))
                if run.returncode != 0 or not re.fullmatch(pattern, run.stdout):
                    self.fault(page, f"$ {command}\nprints\n{run.stdout}{run.stderr}\nand the page shows\n{shown}")
        return count

    def check_ladder(self, program: str) -> None:
        """Each row that the ladder prints for two threads is the page's, in that order, with three numbers behind it."""
        page = ROOT / "layers/cpu/README.md"
        table = re.search(r"^\| \| rung \|.*\n\|[-:|]*\n((?:\|.*\n)*)", page.read_text(), re.M)
        shown = table.group(1).splitlines() if table else []
        printed = subprocess.run([program, "rows", "2"], capture_output=True, text=True, check=True).stdout.splitlines()
        numbers = re.compile(r" \d+ \| \d+\.\d \| \d+% \|")
        for i in range(max(len(shown), len(printed))):
            row, expected = (rows[i] if i < len(rows) else "no row" for rows in (shown, printed))
            if not row.startswith(expected) or not numbers.fullmatch(row[len(expected):]):
                self.fault(page, f"the ladder prints\n{expected}\nand the page shows\n{row}")


def main() -> int:
    arguments, ladder = [a for a in sys.argv[1:] if a != "--figures"], None
    if "--ladder" in arguments[:-1]:
        at = arguments.index("--ladder")
        ladder = arguments[at + 1]
        del arguments[at:at + 2]
    if len(arguments) != 1:
        print(__doc__.strip().splitlines()[2], file=sys.stderr)
        return 2
    pages, figures = Pages(arguments[0]), 0
    if ladder:
        pages.check_ladder(ladder)
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in pages.files:
            page = ROOT / name
            if page.suffix != ".md" or not page.exists():
                continue
            text, count = page.read_text(), count + 1
            pages.check_links(page, text)
            pages.check_names(page, text)
            pages.check_commands(page, text)
            if "--figures" in sys.argv:
                figures += pages.check_figures(page, text, folder)
    drawn = subprocess.run([sys.executable, ROOT / "layers/drawings/draw.py", "--check"], capture_output=True, text=True)
    pages.faults += drawn.stdout.splitlines()
    for fault in pages.faults:
        print(fault)
    if not pages.faults:
        print(f"{count} pages, {figures} commands run: all is there")
    return 1 if pages.faults else 0


if __name__ == "__main__":
    sys.exit(main())

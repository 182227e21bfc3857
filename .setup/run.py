#!/usr/bin/env python3
"""The set-up: `demo` runs the main job and ends with pictures, `test` passes all tests, `install` makes a folder that can be moved.

    python3 .setup/run.py demo [--photos DIR] [..]   fetch what is missing, build, run `cairn demo`
    python3 .setup/run.py test                       fetch what is missing, format, lints, build, all tests, fuzzing (what CI runs)
    python3 .setup/run.py fuzz [SECONDS] [TARGET ..] feed the fuzz targets for so long each (fuzzing.py), behind a build
    python3 .setup/run.py install --prefix DIR       the program, its libraries, weights, man pages and completions (install.py)
    python3 .setup/run.py package [--output FILE]    the same as one archive
    python3 .setup/run.py fetch [lite2]              only fetch; `lite2`: the weights of lite2-gem, which nothing else fetches

It needs Rust, a C++ compiler and Python 3 with pip. After it, plain `cargo build` and `cargo test` work too.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections import Counter

import fetch
import fuzzing
import install

# Everything is built in cargo's dev profile (optimised, see Cargo.toml), so RocksDB is compiled once: 28 CPU-minutes.
CHECKS = [
    ["cargo", "fmt", "--all", "--check"],
    ["cargo", "clippy", "--workspace", "--all-targets"],
    ["cargo", "build", "--workspace", "--all-targets"],
    ["cargo", "test", "--workspace", "--no-fail-fast"],
    ["cargo", "doc", "--workspace", "--no-deps"],
]
# The program for bare vectors; it uses the RocksDB of the whole workspace, and stands in the place of the other program.
BARE_CHECKS = [
    ["cargo", "build", "--package", "cairndb-cli", "--no-default-features"],
    ["cargo", "test", "--package", "cairndb-cli", "--no-default-features"],
]


def cargo(words: list[str]) -> None:
    fetch.say(" ".join(words))
    environment = dict(os.environ)
    if words[1] == "doc":
        environment["RUSTDOCFLAGS"] = "--deny warnings"
    status = subprocess.run(words, cwd=fetch.ROOT, env=environment).returncode
    if status != 0:
        raise SystemExit(f"[set-up] `{' '.join(words)}` failed; what it printed above says why")


def tests(words: list[str]) -> tuple[Counter[str], int]:
    """Runs the tests; why some were skipped, and how many that only measure were left out. What a test prints is shown when it passed,
    too, because a test that skips itself passes."""
    fetch.say(" ".join(words))
    skipped: Counter[str] = Counter()
    ignored = 0
    process = subprocess.Popen([*words, "--", "--show-output"], cwd=fetch.ROOT, stdout=subprocess.PIPE, text=True, errors="replace")
    for line in process.stdout or ():
        sys.stdout.write(line)
        sys.stdout.flush()
        if line.startswith("SKIPPED: "):
            skipped[line.removeprefix("SKIPPED: ").strip()] += 1
        counted = re.match(r"test result: .* (\d+) ignored;", line)
        ignored += int(counted[1]) if counted else 0
    if process.wait() != 0:
        raise SystemExit(f"[set-up] `{' '.join(words)}` failed; what it printed above says why")
    return skipped, ignored


def built(program: str) -> str:
    """Where the build of the whole workspace left a program. `cargo run` would choose other features of what several packages share,
    and compile RocksDB again."""
    words = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    about = subprocess.run(words, cwd=fetch.ROOT, check=True, capture_output=True, text=True)
    return os.path.join(json.loads(about.stdout)["target_directory"], "debug", program)


def need_tools() -> None:
    for tool, how in [("cargo", "install Rust 1.95 from rustup.rs"), ("c++", "install a C++ compiler (Debian: g++)")]:
        if shutil.which(tool) is None:
            raise SystemExit(f"[set-up] {tool} is missing: {how}, then run this again")


def tell(seen: list[str], skipped: Counter[str], ignored: int) -> None:
    """Ends with what was not looked at: a check that was skipped must not look like one that passed."""
    fetch.say("all checks passed")
    for line in seen:
        fetch.say(f"fuzzed {line}")
    for reason, count in skipped.most_common():
        fetch.say(f"skipped {count} times: {reason}")
    fetch.say(f"{sum(skipped.values())} checks skipped, {ignored} long measurements not run (cargo test -- --ignored)")


def main() -> None:
    words = sys.argv[1:]
    if not words or words[0] not in ("demo", "test", "fuzz", "fetch", "install", "package"):
        raise SystemExit(__doc__)
    need_tools()
    if words[0] in ("install", "package"):
        install.main(words)
        return
    if words[0] == "fetch" and words[1:]:
        unknown = [word for word in words[1:] if word not in fetch.ON_DEMAND]
        if unknown:
            raise SystemExit(f"[set-up] there is nothing called {', '.join(unknown)} to fetch; known are: {', '.join(fetch.ON_DEMAND)}")
        for word in words[1:]:
            fetch.fetch_on_demand(word)
        return
    fetch.fetch()
    if words[0] == "test":
        skipped: Counter[str] = Counter()
        ignored = 0
        for check in [*CHECKS, *BARE_CHECKS]:
            if check is BARE_CHECKS[0]:
                install.check(pathlib.Path(built("cairn")))
            if check[1] == "test":
                why, count = tests(check)
                skipped, ignored = skipped + why, ignored + count
            else:
                cargo(check)
        tell(fuzzing.run(fuzzing.SECONDS, list(fuzzing.TARGETS)), skipped, ignored)
    elif words[0] == "fuzz":
        cargo(["cargo", "build", "--workspace"])
        numbers = [word for word in words[1:] if word.isdigit()]
        names = [word for word in words[1:] if word in fuzzing.TARGETS] or list(fuzzing.TARGETS)
        for line in fuzzing.run(int(numbers[0]) if numbers else fuzzing.SECONDS, names):
            fetch.say(f"fuzzed {line}")
    elif words[0] == "demo":
        fetch.say("building; the first time takes about half an hour on two cores, most of it RocksDB")
        cargo(["cargo", "build", "--workspace"])
        if subprocess.run([built("cairn"), "demo", *words[1:]], cwd=fetch.ROOT).returncode != 0:
            raise SystemExit("[set-up] the demo failed; what it printed above says why")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The two commands of the README: `demo` runs the main job and ends with pictures, `test` passes all tests.

    python3 .setup/run.py demo [--photos DIR] [..]   fetch what is missing, build, run `cairn demo`
    python3 .setup/run.py test                       fetch what is missing, format, lints, build, all tests (what CI runs)
    python3 .setup/run.py fetch                      only fetch

It needs Rust, a C++ compiler and Python 3 with pip. After it, plain `cargo build` and `cargo test` work too.
"""

import os
import shutil
import subprocess
import sys

import fetch

# Everything is built in cargo's dev profile (optimised, see Cargo.toml), so RocksDB is compiled once: 28 CPU-minutes.
CHECKS = [
    ["cargo", "fmt", "--all", "--check"],
    ["cargo", "clippy", "--workspace", "--all-targets"],
    ["cargo", "build", "--workspace", "--all-targets"],
    ["cargo", "test", "--workspace"],
    ["cargo", "doc", "--workspace", "--no-deps"],
]


def cargo(words: list[str]) -> None:
    fetch.say(" ".join(words))
    environment = dict(os.environ)
    if words[1] == "doc":
        environment["RUSTDOCFLAGS"] = "--deny warnings"
    status = subprocess.run(words, cwd=fetch.ROOT, env=environment).returncode
    if status != 0:
        raise SystemExit(f"[set-up] `{' '.join(words)}` failed; what it printed above says why")


def need_tools() -> None:
    for tool, how in [("cargo", "install Rust 1.95 from rustup.rs"), ("c++", "install a C++ compiler (Debian: g++)")]:
        if shutil.which(tool) is None:
            raise SystemExit(f"[set-up] {tool} is missing: {how}, then run this again")


def main() -> None:
    words = sys.argv[1:]
    if not words or words[0] not in ("demo", "test", "fetch"):
        raise SystemExit(__doc__)
    need_tools()
    fetch.fetch()
    if words[0] == "test":
        for check in CHECKS:
            cargo(check)
        fetch.say("all checks passed")
    elif words[0] == "demo":
        fetch.say("building; the first time takes about half an hour on two cores, most of it RocksDB")
        cargo(["cargo", "build", "--workspace"])
        cargo(["cargo", "run", "--quiet", "--bin", "cairn", "--", "demo", *words[1:]])


if __name__ == "__main__":
    main()

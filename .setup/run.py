#!/usr/bin/env python3
"""The two commands of the README: `demo` runs the main job and ends with pictures, `test` passes all tests.

    python3 .setup/run.py demo [--photos DIR] [..]   fetch what is missing, build, run `cairn demo`
    python3 .setup/run.py test                       fetch what is missing, format, lints, build, all tests, fuzzing (what CI runs)
    python3 .setup/run.py fetch                      only fetch

It needs Rust, a C++ compiler and Python 3 with pip. After it, plain `cargo build` and `cargo test` work too.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import fetch

# Everything is built in cargo's dev profile (optimised, see Cargo.toml), so RocksDB is compiled once: 28 CPU-minutes.
CHECKS = [
    ["cargo", "fmt", "--all", "--check"],
    ["cargo", "clippy", "--workspace", "--all-targets"],
    ["cargo", "build", "--workspace", "--all-targets"],
    ["cargo", "test", "--workspace"],
    ["cargo", "doc", "--workspace", "--no-deps"],
]
# The fuzz targets, and files that inputs are made of; what is not there is passed over. The photos are those of the tests.
TARGETS = {
    "query_text": ["query-lang/tests/statements", "query-lang/tests/diagnostics"],
    "photo_bytes": ["../shared/photos/landmarks/images"],
    "vector_files": ["tests/formats", "fuzz/seeds"],
    "catalog_values": ["tests/formats"],
    "segment_bytes": ["tests/formats"],
    "operation_sequences": ["tests/formats"],
}
# What docs/TESTING.md promises of each target; as many run at once.
FUZZ_SECONDS = 60
FUZZ_TOGETHER = 2
# Bytes of an input at most.
FUZZ_LARGEST = 1 << 18


def cargo(words: list[str]) -> None:
    fetch.say(" ".join(words))
    environment = dict(os.environ)
    if words[1] == "doc":
        environment["RUSTDOCFLAGS"] = "--deny warnings"
    status = subprocess.run(words, cwd=fetch.ROOT, env=environment).returncode
    if status != 0:
        raise SystemExit(f"[set-up] `{' '.join(words)}` failed; what it printed above says why")


def built(program: str) -> str:
    """Where the build of the whole workspace left a program. `cargo run` would choose other features of what several packages share,
    and compile RocksDB again."""
    words = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    about = subprocess.run(words, cwd=fetch.ROOT, check=True, capture_output=True, text=True)
    return os.path.join(json.loads(about.stdout)["target_directory"], "debug", program)


def fuzz() -> None:
    """Feeds every target for a while. What a target does not survive is kept, and named."""
    kept = os.path.join(tempfile.gettempdir(), "cairn-fuzz")
    os.makedirs(kept, exist_ok=True)
    names = list(TARGETS)
    for start in range(0, len(names), FUZZ_TOGETHER):
        running = []
        for name in names[start : start + FUZZ_TOGETHER]:
            seeds = [os.path.join(fetch.ROOT, seed) for seed in TARGETS[name]]
            environment = dict(os.environ, CAIRN_FUZZ_SEEDS=os.pathsep.join(filter(os.path.exists, seeds)))
            words = [built(name), f"-max_total_time={FUZZ_SECONDS}"]
            words += [f"-artifact_prefix={kept}/{name}-", f"-max_len={FUZZ_LARGEST}", "-len_control=0"]
            words += ["-verbosity=0", "-print_final_stats=1"]
            fetch.say(f"fuzzing {name} for {FUZZ_SECONDS} s")
            running.append((name, subprocess.Popen(words, cwd=fetch.ROOT, env=environment)))
        # All of them end before one is told of.
        failed = [name for name, process in running if process.wait() != 0]
        if failed:
            raise SystemExit(f"[set-up] fuzzing failed: {', '.join(failed)}; the bytes lie in {kept}")


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
        fuzz()
        fetch.say("all checks passed")
    elif words[0] == "demo":
        fetch.say("building; the first time takes about half an hour on two cores, most of it RocksDB")
        cargo(["cargo", "build", "--workspace"])
        if subprocess.run([built("cairn"), "demo", *words[1:]], cwd=fetch.ROOT).returncode != 0:
            raise SystemExit("[set-up] the demo failed; what it printed above says why")


if __name__ == "__main__":
    main()

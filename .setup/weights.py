"""Turns a `torch.save` file into safetensors, without torch: the old layout, and the zip archives that PyTorch 1.6 brought.

    python3 .setup/weights.py NETWORK.pth NETWORK.safetensors     what `cairn create --weights` takes, of a published checkpoint

A pickle can run code when it is read, so this reader only knows the four names that a state dict needs and refuses the rest.
"""

import array
import collections
import json
import math
import pathlib
import pickle
import struct
import sys
import zipfile

ELEMENT_BYTES = {"FloatStorage": 4, "LongStorage": 8}


class _Storage:
    def __init__(self, kind: str, key: str, count: int):
        self.kind, self.key, self.count, self.data = kind, key, count, b""


class _Tensor:
    def __init__(self, storage, offset, shape, stride, *_):
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride


class _StateDictUnpickler(pickle.Unpickler):
    """Reads tensors as (storage, offset, shape, stride); any other class is refused."""

    def __init__(self, file):
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in ELEMENT_BYTES:
            return name
        raise pickle.UnpicklingError(f"the weights file asks for {module}.{name}, which a state dict has no use for")

    def persistent_load(self, ident):
        _, kind, key, _, count, *_ = ident  # the old layout adds a sixth part
        return self.storages.setdefault(key, _Storage(kind, key, count))


def read_state_dict(path: pathlib.Path) -> dict[str, _Tensor]:
    return _read_zip(path) if zipfile.is_zipfile(path) else _read_old(path)


def _read_zip(path: pathlib.Path) -> dict[str, _Tensor]:
    """`<name>/data.pkl` is the pickle, `<name>/data/<key>` the bytes of a storage."""
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"{path} holds {len(pickles)} pickles; one was expected")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError(f"{path} is not little-endian")
        with archive.open(pickles[0]) as file:
            reader = _StateDictUnpickler(file)
            tensors = reader.load()
        for key, storage in reader.storages.items():
            storage.data = archive.read(f"{folder}data/{key}")
            if len(storage.data) != storage.count * ELEMENT_BYTES[storage.kind]:
                raise ValueError(f"storage {key} of {path} has {len(storage.data)} bytes, {storage.count} elements were announced")
    return tensors


def _read_old(path: pathlib.Path) -> dict[str, _Tensor]:
    with open(path, "rb") as file:
        for _ in range(3):  # magic number, protocol version, system information
            pickle.Unpickler(file).load()
        reader = _StateDictUnpickler(file)
        tensors = reader.load()
        for key in pickle.Unpickler(file).load():
            storage = reader.storages[key]
            (count,) = struct.unpack("<q", file.read(8))
            if count != storage.count:
                raise ValueError(f"storage {key} of {path} holds {count} elements, {storage.count} were announced")
            storage.data = file.read(count * ELEMENT_BYTES[storage.kind])
    return tensors


def _in_row_order(tensor: _Tensor) -> bytes:
    """The elements with the last axis fastest. Some tensors are stored transposed (they came from TensorFlow): strides count."""
    offsets = [tensor.offset]
    for size, stride in zip(tensor.shape, tensor.stride):
        offsets = [start + i * stride for start in offsets for i in range(size)]
    elements = memoryview(tensor.storage.data).cast("I")  # four bytes each, copied as they are
    return array.array("I", [elements[offset] for offset in offsets]).tobytes()


def convert(source: pathlib.Path, target: pathlib.Path) -> None:
    """Writes the float tensors of `source` in name order, so that the same input gives the same bytes."""
    header, blobs, at = {}, [], 0
    saved = read_state_dict(source)
    # A checkpoint of a training has the network's tensors one level below.
    tensors = saved["state_dict"] if isinstance(saved.get("state_dict"), dict) else saved
    for name, tensor in sorted(tensors.items()):
        if tensor.storage.kind != "FloatStorage":
            continue  # num_batches_tracked: of no use after training
        count = math.prod(tensor.shape)
        blob = _in_row_order(tensor)
        if len(blob) != 4 * count:
            raise ValueError(f"{name} of {source} is cut short")
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    words = json.dumps(header, separators=(",", ":")).encode()
    words += b" " * (-len(words) % 8)
    with open(target, "wb") as sink:
        sink.write(struct.pack("<Q", len(words)))
        sink.write(words)
        sink.writelines(blobs)


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    source, target = map(pathlib.Path, sys.argv[1:])
    if target.exists():
        raise SystemExit(f"{target} exists: name a new file")
    half = target.with_name(target.name + ".part")
    try:
        convert(source, half)
    except (OSError, ValueError, KeyError, AttributeError, pickle.UnpicklingError, struct.error) as error:
        half.unlink(missing_ok=True)
        raise SystemExit(f"{source} is no state dict that torch.save wrote, or cannot be converted: {error}")
    half.replace(target)


if __name__ == "__main__":
    main()

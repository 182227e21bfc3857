"""Turns an old `torch.save` file (the layout before PyTorch 1.6) into safetensors, without torch.

A pickle can run code when it is read, so this reader only knows the four names that a state dict needs and refuses the rest.
"""

import array
import collections
import json
import math
import pathlib
import pickle
import struct

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
        _, kind, key, _, count, _ = ident
        return self.storages.setdefault(key, _Storage(kind, key, count))


def read_state_dict(path: pathlib.Path) -> dict[str, _Tensor]:
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
    for name, tensor in sorted(read_state_dict(source).items()):
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

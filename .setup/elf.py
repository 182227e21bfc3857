"""Shortens the library search path of a program (DT_RUNPATH, DT_RPATH of ELF64) to its first folder, in place.

A build names two folders: one from the program's own place, for an installation, and the one that libtorch lies in on this machine,
for the build itself. An installed program must not look into the second one.
"""

import pathlib
import struct

PT_DYNAMIC, PT_LOAD = 2, 1
DT_NEEDED, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 5, 6, 10, 14, 15, 29


def keep_first_search_path(file: pathlib.Path, first: str) -> None:
    """Leaves `first` alone in the search path, which must begin with it; a program without a search path stays as it is."""
    bytes_ = bytearray(file.read_bytes())
    if bytes_[:6] != b"\x7fELF\x02\x01":
        raise SystemExit(f"[set-up] {file} is no little-endian 64-bit ELF program")
    table, entry, count = struct.unpack_from("<Q14xHH", bytes_, 32)
    headers = [struct.unpack_from("<IIQQQQQQ", bytes_, table + at * entry) for at in range(count)]
    loads = [(address, offset, size) for kind, _, offset, address, _, size, _, _ in headers if kind == PT_LOAD]

    def at(address: int) -> int:
        return next(offset + address - start for start, offset, size in loads if start <= address < start + size)

    dynamic = next((header for header in headers if header[0] == PT_DYNAMIC), None)
    entries = []
    if dynamic is not None:
        entries = [struct.unpack_from("<qQ", bytes_, dynamic[2] + 16 * at) for at in range(dynamic[5] // 16)]
    values = dict(entries)
    paths = [value for tag, value in entries if tag in (DT_RPATH, DT_RUNPATH)]
    if not paths:
        return
    strings, size = at(values[DT_STRTAB]), values[DT_STRSZ]
    # Names of symbols may share the end of a longer text; those are all before the text table.
    symbols = range(at(values[DT_SYMTAB]), strings, 24) if at(values[DT_SYMTAB]) < strings else range(0)
    used = {value for tag, value in entries if tag in (DT_NEEDED, DT_SONAME)}
    used |= {struct.unpack_from("<I", bytes_, symbol)[0] for symbol in symbols}
    for start in paths:
        end = bytes_.index(b"\0", strings + start, strings + size) - strings
        text = bytes_[strings + start : strings + end].decode()
        if text.split(":")[0] != first:
            raise SystemExit(f"[set-up] {file} looks for libraries in {text}; a build of this clone begins with {first}")
        kept = start + len(first)
        if any(kept < name < end for name in used):
            raise SystemExit(f"[set-up] {file} shares the text of its search path with other names; build it again")
        bytes_[strings + kept : strings + end] = bytes(end - kept)
    file.write_bytes(bytes_)

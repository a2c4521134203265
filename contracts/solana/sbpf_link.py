#!/usr/bin/env python3
"""Link LLVM's BPF objects into one SBPF version 0 shared object that Solana's loader accepts. Standard library only.

    sbpf_link.py -o program.so object.o [object.o ...]

Only sections reachable from `entrypoint` are kept. Code comes first, read-only data after it, each at an address equal to its file
offset, as the loader requires. Data addresses are resolved here; calls between functions become relative; undefined symbols must be
system calls and stay as dynamic relocations.
"""

import argparse
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

RODATA = 1 << 32
FRAME = 4096
PROGBITS, SYMTAB, RELA, NOBITS, REL = 1, 2, 4, 8, 9
WRITE, ALLOC, EXEC = 1, 2, 4
R_64_64, R_ABS64, R_64_32 = 1, 2, 10
CALL, CALL_REGISTER, LOAD_64 = 0x85, 0x8D, 0x18
HEADER, PROGRAM_HEADER, PROGRAM_HEADERS = 64, 56, 4
SYSCALLS = frozenset(
    (
        "abort",
        "sol_panic_",
        "sol_log_",
        "sol_log_64_",
        "sol_log_data",
        "sol_create_program_address",
        "sol_try_find_program_address",
        "sol_sha256",
        "sol_get_clock_sysvar",
        "sol_get_rent_sysvar",
        "sol_invoke_signed_c",
        "sol_memcpy_",
        "sol_memmove_",
        "sol_memcmp_",
        "sol_memset_",
        "sol_set_return_data",
        "sol_get_return_data",
        "sol_get_stack_height",
        "sol_remaining_compute_units",
    )
)


class LinkError(Exception):
    """The objects hold something that a version 0 program cannot."""


@dataclass(eq=False)
class Section:
    """A section of an object, with its relocations as (offset, type, symbol)."""

    origin: str
    name: str
    flags: int
    align: int
    data: bytearray
    relocations: list[tuple[int, int, "Symbol"]] = field(default_factory=list)
    address: int = -1

    @property
    def is_code(self) -> bool:
        return bool(self.flags & EXEC)


@dataclass(eq=False)
class Symbol:
    """`section` is None while undefined; binding 1 is global, 2 weak."""

    name: str
    section: Section | None
    value: int
    binding: int


def text_at(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(0, offset)].decode()


def read_object(path: Path) -> tuple[list[Section], list[Symbol]]:
    """Sections that take memory, and all symbols."""
    data = path.read_bytes()
    if data[:4] != b"\x7fELF" or struct.unpack_from("<HH", data, 16) != (1, 247):
        raise LinkError(f"{path}: not a relocatable BPF object")
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count, names_index = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, table + index * size) for index in range(count)]

    def body(header: tuple[int, ...]) -> bytes:
        return data[header[4] : header[4] + header[5]]

    names = body(headers[names_index])
    sections: dict[int, Section] = {}
    for index, header in enumerate(headers):
        if header[1] in (PROGBITS, NOBITS) and header[2] & ALLOC:
            content = bytearray(header[5]) if header[1] == NOBITS else bytearray(body(header))
            sections[index] = Section(
                path.name, text_at(names, header[0]), header[2], max(header[8], 1), content
            )
    symbols: list[Symbol] = []
    for header in headers:
        if header[1] == SYMTAB:
            strings = body(headers[header[6]])
            for name, info, _, index, value, _ in struct.iter_unpack("<IBBHQQ", body(header)):
                symbols.append(Symbol(text_at(strings, name), sections.get(index), value, info >> 4))
    for header in headers:
        if header[1] == RELA:
            raise LinkError(f"{path}: relocations with addends are not expected for BPF")
        if header[1] == REL and header[7] in sections:
            for offset, info in struct.iter_unpack("<QQ", body(header)):
                sections[header[7]].relocations.append((offset, info & 0xFFFFFFFF, symbols[info >> 32]))
    return list(sections.values()), symbols


class Linker:
    """Links once: collect, lay out, relocate, write."""

    def __init__(self, paths: list[Path]) -> None:
        self.defined: dict[str, Symbol] = {}
        for path in paths:
            for symbol in read_object(path)[1]:
                if symbol.binding in (1, 2) and symbol.section is not None:
                    known = self.defined.get(symbol.name)
                    if known is not None and known.binding == symbol.binding == 1:
                        raise LinkError(f"symbol {symbol.name} is defined twice")
                    if known is None or symbol.binding < known.binding:
                        self.defined[symbol.name] = symbol
        if "entrypoint" not in self.defined:
            raise LinkError("no global symbol entrypoint")
        self.entry = self.defined["entrypoint"]
        self.system_calls: list[str] = []
        self.dynamic_relocations: list[tuple[int, int]] = []

    def link(self) -> bytes:
        live = self._reachable()
        code = sorted((s for s in live if s.is_code), key=lambda s: s is not self.entry.section)
        rodata = sorted((s for s in live if not s.is_code), key=lambda s: (-s.align, s.name))
        code_start = HEADER + PROGRAM_HEADER * PROGRAM_HEADERS
        code_end = place(code, code_start, 8)
        rodata_start = -(-code_end // 16) * 16
        rodata_end = place(rodata, rodata_start, 1)
        for section in code + rodata:
            self._relocate(section)
        return self._write(code, rodata, (code_start, code_end), (rodata_start, rodata_end))

    def _definition(self, symbol: Symbol) -> Symbol | None:
        return symbol if symbol.section is not None else self.defined.get(symbol.name)

    def _reachable(self) -> list[Section]:
        assert self.entry.section is not None
        live: dict[int, Section] = {}
        todo = [self.entry.section]
        while todo:
            section = todo.pop()
            if id(section) in live:
                continue
            live[id(section)] = section
            if section.flags & WRITE and not section.name.startswith(".data.rel.ro"):
                raise LinkError(f"{section.origin}: writable section {section.name} cannot be on chain")
            for _, _, symbol in section.relocations:
                found = self._definition(symbol)
                if found is not None and found.section is not None:
                    todo.append(found.section)
        return list(live.values())

    def _relocate(self, section: Section) -> None:
        calls = set()
        for offset, kind, symbol in section.relocations:
            found = self._definition(symbol)
            if kind == R_64_32 and section.is_code:
                calls.add(offset)
                self._relocate_call(section, offset, symbol, found)
                continue
            if found is None or found.section is None:
                raise LinkError(f"{section.origin}: undefined data symbol {symbol.name!r}")
            address = RODATA + found.section.address + found.value
            if kind == R_64_64:
                low, high = (struct.unpack_from("<I", section.data, offset + at)[0] for at in (4, 12))
                address = (address + (low | high << 32)) & (1 << 64) - 1
                struct.pack_into("<I", section.data, offset + 4, address & 0xFFFFFFFF)
                struct.pack_into("<I", section.data, offset + 12, address >> 32)
            elif kind == R_ABS64:
                (addend,) = struct.unpack_from("<q", section.data, offset)
                struct.pack_into("<Q", section.data, offset, address + addend)
            else:
                raise LinkError(
                    f"{section.origin}: relocation type {kind} in {section.name} is not supported"
                )
        if section.is_code:
            translate(section, calls)

    def _relocate_call(self, section: Section, offset: int, symbol: Symbol, found: Symbol | None) -> None:
        if section.data[offset] != CALL:
            raise LinkError(f"{section.origin}: call relocation on opcode {section.data[offset]:#x}")
        if found is None or found.section is None:
            if symbol.name not in SYSCALLS:
                raise LinkError(f"undefined symbol {symbol.name} is no system call")
            if symbol.name not in self.system_calls:
                self.system_calls.append(symbol.name)
            number = self.system_calls.index(symbol.name) + 1
            self.dynamic_relocations.append((section.address + offset, number))
            relative = -1
        else:
            (addend,) = struct.unpack_from("<i", section.data, offset + 4)
            target = found.section.address + found.value + (addend + 1) * 8
            relative = (target - (section.address + offset)) // 8 - 1
            if relative == -1:
                raise LinkError("a call to itself would look like a system call")
        struct.pack_into("<i", section.data, offset + 4, relative)
        section.data[offset + 1] = 0x10

    def _write(
        self, code: list[Section], rodata: list[Section], text: tuple[int, int], data: tuple[int, int]
    ) -> bytes:
        strings, symbols = bytearray(b"\0"), bytearray(24)
        assert self.entry.section is not None
        entry = self.entry.section.address + self.entry.value
        for name, info, index, value in [
            *((name, 0x10, 0, 0) for name in self.system_calls),
            ("entrypoint", 0x12, 1, entry),
        ]:
            symbols += struct.pack("<IBBHQQ", len(strings), info, 0, index, value, 0)
            strings += name.encode() + b"\0"
        relocations = b"".join(
            struct.pack("<QQ", offset, number << 32 | R_64_32)
            for offset, number in sorted(self.dynamic_relocations)
        )
        dynamic_at = -(-data[1] // 8) * 8
        symbols_at = dynamic_at + 16 * 9
        strings_at = symbols_at + len(symbols)
        relocations_at = -(-(strings_at + len(strings)) // 8) * 8
        end = relocations_at + len(relocations)
        tags = [
            (0x1E, 4),
            (0x11, relocations_at if relocations else 0),
            (0x12, len(relocations)),
            (0x13, 16),
            (6, symbols_at),
            (0xB, 24),
            (5, strings_at),
            (0xA, len(strings)),
            (0, 0),
        ]
        dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
        table = section_table(
            bool(rodata),
            text,
            data,
            (dynamic_at, len(dynamic)),
            (symbols_at, len(symbols)),
            (strings_at, len(strings)),
            (relocations_at, len(relocations)),
            end,
        )
        headers_at, names, headers, count = table
        out = bytearray(headers_at)
        out[:HEADER] = struct.pack(
            "<16sHHIQQQIHHHHHH",
            b"\x7fELF\x02\x01\x01",
            3,
            247,
            1,
            entry,
            HEADER,
            headers_at,
            0,
            HEADER,
            PROGRAM_HEADER,
            PROGRAM_HEADERS,
            64,
            count,
            count - 1,
        )
        out[HEADER : text[0]] = b"".join(
            struct.pack("<IIQQQQQQ", kind, flags, start, start, start, stop - start, stop - start, align)
            for kind, flags, start, stop, align in (
                (1, 5, *text, 0x1000),
                (1, 4, *data, 0x1000),
                (1, 4, dynamic_at, end, 0x1000),
                (2, 4, dynamic_at, symbols_at, 8),
            )
        )
        pieces: list[tuple[int, bytes | bytearray]] = [(s.address, s.data) for s in code + rodata]
        pieces += [
            (dynamic_at, dynamic),
            (symbols_at, symbols),
            (strings_at, strings),
            (relocations_at, relocations),
        ]
        for at, piece in [*pieces, (end, names)]:
            out[at : at + len(piece)] = piece
        return bytes(out + headers)


def place(sections: list[Section], start: int, align: int) -> int:
    """Give each section its address; returns the end."""
    position = start
    for section in sections:
        step = max(align, 1 if section.is_code else section.align)
        position = -(-position // step) * step
        section.address = position
        position += len(section.data)
    return position


Span = tuple[int, int]


def section_table(
    has_rodata: bool,
    text: Span,
    data: Span,
    dynamic: Span,
    symbols: Span,
    strings: Span,
    relocations: Span,
    end: int,
) -> tuple[int, bytes, bytes, int]:
    """(where the section headers go, their names, the headers, how many)."""
    rows: list[tuple[str, int, int, Span, int, int, int, int]] = [
        ("", 0, 0, (0, 0), 0, 0, 0, 0),
        (".text", 1, 6, (text[0], text[1] - text[0]), 0, 0, 8, 0),
    ]
    if has_rodata:
        rows.append((".rodata", 1, 2, (data[0], data[1] - data[0]), 0, 0, 16, 0))
    first = len(rows)
    rows += [
        (".dynamic", 6, 2, dynamic, first + 2, 0, 8, 16),
        (".dynsym", 11, 2, symbols, first + 2, 1, 8, 24),
        (".dynstr", 3, 2, strings, 0, 0, 1, 0),
        (".rel.dyn", 9, 2, relocations, first + 1, 0, 8, 16),
    ]
    names, offsets = bytearray(), []
    for name in [*(row[0] for row in rows), ".shstrtab"]:
        offsets.append(len(names))
        names += name.encode() + b"\0"
    rows.append((".shstrtab", 3, 0, (end, len(names)), 0, 0, 1, 0))
    headers = b"".join(
        struct.pack(
            "<IIQQQQIIQQ",
            offset,
            kind,
            flags,
            span[0] if flags & ALLOC else 0,
            *span,
            link,
            info,
            align,
            size,
        )
        for offset, (_, kind, flags, span, link, info, align, size) in zip(offsets, rows, strict=True)
    )
    return -(-(end + len(names)) // 8) * 8, bytes(names), headers, len(rows)


def translate(section: Section, calls: set[int]) -> None:
    """Rewrite what version 0 spells differently, and refuse what it does not have."""
    data, at = section.data, 0
    while at < len(data):
        operation, registers = data[at], data[at + 1]
        target = registers & 15
        if operation == LOAD_64:
            data[at + 1] = target
            at += 16
            continue
        if operation == CALL_REGISTER:
            struct.pack_into("<i", data, at + 4, target)
            data[at + 1] = 0
        else:
            problem = unsupported(data, at, operation, registers, at in calls)
            if problem:
                raise LinkError(
                    f"{section.origin}:{section.name}+{at:#x}: {problem} [{data[at : at + 8].hex()}]"
                )
        at += 8


def unsupported(data: bytearray, at: int, operation: int, registers: int, relocated: bool) -> str | None:
    """Why an instruction cannot run, or None."""
    kind, (offset,) = operation & 7, struct.unpack_from("<h", data, at + 2)
    if kind == 6:
        return "32-bit jump"
    if operation == CALL and not relocated and registers >> 4 != 1:
        return "call by number"
    if kind == 4 and operation not in (0xD4, 0xDC):
        return "32-bit arithmetic"
    if operation in (0x06, 0xDB, 0xC3):
        return "atomic operation"
    if operation == 0xD7 or (operation & 0xE0 == 0x80 and kind == 1):
        return "instruction of a later version"
    if kind == 7 and offset:
        return "signed division or sign extension"
    on_stack = (kind in (2, 3) and registers & 15 == 10) or (kind == 1 and registers >> 4 == 10)
    if on_stack and not -FRAME <= offset < 0:
        return f"stack access at {offset:+d}, outside the frame of {FRAME} bytes"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", dest="out", type=Path, required=True)
    parser.add_argument("objects", type=Path, nargs="+")
    arguments = parser.parse_args()
    try:
        program = Linker(arguments.objects).link()
    except LinkError as error:
        sys.exit(f"sbpf_link: {error}")
    arguments.out.write_bytes(program)
    print(f"{arguments.out}: {len(program)} bytes")


if __name__ == "__main__":
    main()

"""Searches the memory of a process. Takes root, or a process that may be traced.

Argument: the process id. Input: a name and bytes in hexadecimal digits, a line each. Output, a line each: `found NAME ADDRESS MAPPING` for each
place where they stand, with what surrounds them on standard error; `unreadable MAPPING` for what the kernel shows nobody; and `read BYTES`.
"""

import sys

pid = sys.argv[1]
wanted = [(name, bytes.fromhex(digits)) for name, digits in (line.split() for line in sys.stdin)]
longest = max(len(form) for _, form in wanted)
PIECE = 1 << 20
NOTHING = bytes(PIECE)


def mappings():
    """Start, end and name of each mapping that can be read. One that has no name gets one if children and dumps do not have it."""
    found = []
    with open(f"/proc/{pid}/smaps") as lines:
        for line in lines:
            fields = line.split(maxsplit=5)
            if fields[0] == "VmFlags:":
                flags = line.split()
                is_apart = "dc" in flags and "dd" in flags and name == "-"
                if rights.startswith("r"):
                    found.append((start, end, "[apart]" if is_apart else name))
            elif not fields[0].endswith(":"):
                start, end = (int(address, 16) for address in fields[0].split("-"))
                rights = fields[1]
                name = fields[5].strip() if len(fields) > 5 else "-"
    return found


def is_mapped(address):
    """Whether anything lies there now: the stack of a thread may have gone since its mapping was read of."""
    with open(f"/proc/{pid}/maps") as now:
        ranges = (line.split()[0].split("-") for line in now)
        return any(int(start, 16) <= address < int(end, 16) for start, end in ranges)


looked_at = 0
with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
    for at, end, mapping in mappings():
        tail = b""
        while at < end:
            try:
                memory.seek(at)
                piece = memory.read(min(PIECE, end - at))
            except (OSError, OverflowError):
                if is_mapped(at):
                    print("unreadable", mapping)
                break
            if not piece:
                break
            looked_at += len(piece)
            start = at - len(tail)
            at += len(piece)
            if piece == NOTHING[: len(piece)] and not tail.strip(b"\0"):
                continue  # as most of what an allocator has set aside
            piece = tail + piece
            for name, form in wanted:
                found = piece.find(form)
                while found >= 0:
                    # What ends in the tail was found with the piece before.
                    if found + len(form) > len(tail):
                        print("found", name, hex(start + found), mapping)
                        print(name, piece[max(0, found - 64) : found + 64], file=sys.stderr)
                    found = piece.find(form, found + 1)
            tail = piece[len(piece) - longest + 1 :] if longest > 1 else b""

print("read", looked_at)

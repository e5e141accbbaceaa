"""Prints how often a text stands in the writable memory of a process, and how many bytes were looked at. Takes root, or a process that may be traced.

Arguments: the process id and the text. With a third argument, whatever it is, also prints what surrounds each copy.
"""

import sys

pid, secret = sys.argv[1], sys.argv[2].encode()
PIECE = 1 << 24

copies = looked_at = 0
with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
    for line in maps:
        addresses, rights = line.split()[:2]
        if not rights.startswith("rw"):
            continue
        at, end = (int(address, 16) for address in addresses.split("-"))
        tail = b""
        while at < end:
            try:
                memory.seek(at)
                piece = memory.read(min(PIECE, end - at))
            except OSError:
                break  # the kernel's own, or secret memory, which not even root can read
            at += len(piece)
            looked_at += len(piece)
            piece = tail + piece
            copies += piece.count(secret)
            if len(sys.argv) > 3 and (found := piece.find(secret)) >= 0:
                print(line.strip(), hex(at), piece[max(0, found - 200) : found + 200], file=sys.stderr)
            # Too short to hold the text itself, so nothing is counted twice.
            tail = piece[len(piece) - len(secret) + 1 :]
            if not piece:
                break

print(copies, looked_at)

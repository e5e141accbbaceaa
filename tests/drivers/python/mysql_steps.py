"""What the programs for MySQL's drivers share: where to go, and the steps on the way.

DB_HOST and DB_PORT, or DB_SOCKET, say where; DB_USER, DB_PASSWORD, DB_NAME and DB_TLS (on, off) how. DB_USER need not be the
user that the session runs as, which is in EXPECTED_USER. DB_WITHOUT has the names of steps to leave out, separated by commas.
"""

import asyncio
import os

LARGE = 20 * 1024 * 1024  # more than a packet holds, so it comes in several
LINES = 10_000

TLS = os.environ["DB_TLS"] == "on"
SOCKET = os.environ.get("DB_SOCKET")
USER = os.environ["DB_USER"]
PASSWORD = os.environ["DB_PASSWORD"]
NAME = os.environ["DB_NAME"]
EXPECTED_USER = os.environ["EXPECTED_USER"]

# Whether a session executes a statement: what it has in the list of sessions.
SLEEPING = "SELECT COUNT(*) FROM information_schema.processlist WHERE id = %d AND info LIKE 'SELECT SLEEP%%'"
ATTRIBUTES = (
    "SELECT attr_name, attr_value FROM performance_schema.session_connect_attrs WHERE processlist_id = CONNECTION_ID()"
)

_steps = []


def place():
    if SOCKET:
        return {"unix_socket": SOCKET}
    return {"host": os.environ["DB_HOST"], "port": int(os.environ["DB_PORT"])}


def step(name):
    """Makes a function a step of the program."""

    def take(function):
        _steps.append((name, function))
        return function

    return take


def want(what, got, wanted):
    if got != wanted:
        raise SystemExit(f"{what}: got {got!r}, want {wanted!r}")


def failed(what):
    raise SystemExit(f"{what} went unnoticed")


def _wanted():
    without = os.environ["DB_WITHOUT"].split(",")
    return [(name, function) for name, function in _steps if name not in without]


def run(*arguments):
    for name, function in _wanted():
        function(*arguments)
        print(f"ok: {name}", flush=True)


async def run_async(*arguments):
    for name, function in _wanted():
        await function(*arguments)
        print(f"ok: {name}", flush=True)


async def holds(condition):
    while not await condition():
        await asyncio.sleep(0.01)


def write_lines(directory):
    path = os.path.join(directory, "lines.txt")
    with open(path, "w") as file:
        file.writelines(f"{n}\t{'x' * (n % 100)}\n" for n in range(LINES))
    return path

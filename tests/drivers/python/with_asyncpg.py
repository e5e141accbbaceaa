"""Drives asyncpg against the server that PGHOST and PGPORT name; prints "ok: STEP" for each step that gave what it must.

PGUSER need not be the user that the session runs as, which is in EXPECTED_USER.
"""

import asyncio
import io
import os

import asyncpg


def ok(step):
    print(f"ok: {step}", flush=True)


def want(what, got, wanted):
    if got != wanted:
        raise SystemExit(f"{what}: got {got!r}, want {wanted!r}")


async def holds(condition):
    while not await condition():
        await asyncio.sleep(0.01)


async def main():
    conn = await asyncpg.connect()
    want("user", await conn.fetchval("SELECT current_user::text"), os.environ["EXPECTED_USER"])
    ok("user")

    statement = await conn.prepare("SELECT $1::int * 2")
    for n in range(3):
        want("doubled", await statement.fetchval(n), 2 * n)
    ok("prepared")

    await conn.execute("CREATE TEMPORARY TABLE numbers (n int, words text)")
    await conn.executemany("INSERT INTO numbers VALUES ($1, $2)", [(n, "x" * n) for n in range(1000)])  # one pipeline
    want("rows", await conn.fetchval("SELECT count(*) FROM numbers"), 1000)
    ok("pipeline")

    try:
        await conn.fetchval("SELECT 1/0")
        raise SystemExit("division by zero went unnoticed")
    except asyncpg.DivisionByZeroError as error:
        want("SQLSTATE", error.sqlstate, "22012")
    want("after it", await conn.fetchval("SELECT 1"), 1)
    ok("error")

    async with conn.transaction():
        async with conn.transaction():  # a savepoint
            await conn.execute("DELETE FROM numbers WHERE n >= 500")
        want("left", len([row async for row in conn.cursor("SELECT n FROM numbers", prefetch=7)]), 500)
    ok("transaction")

    rows = [(n, "y" * (n % 100)) for n in range(10_000)]
    await conn.copy_records_to_table("numbers", records=rows)  # binary COPY
    sink = io.BytesIO()
    want("copied", await conn.copy_from_query("SELECT * FROM numbers", output=sink), "COPY 10500")
    ok("copy")

    large = "0123456789abcdef" * (1 << 16)
    want("a large value came back", await conn.fetchval("SELECT $1::text", large) == large, True)
    ok("large")

    other = await asyncpg.connect()
    news = asyncio.get_running_loop().create_future()
    await conn.add_listener("asyncpg_news", lambda _conn, _pid, _channel, payload: news.set_result(payload))
    await other.execute("NOTIFY asyncpg_news, 'hello'")
    want("news", await news, "hello")
    ok("notify")

    pid = other.get_server_pid()
    sleeping = asyncio.ensure_future(other.execute("SELECT pg_sleep(600)", timeout=None))
    await holds(lambda: conn.fetchval("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'active')", pid))
    sleeping.cancel()  # asyncpg sends a CancelRequest and waits until it has worked
    try:
        await sleeping
        raise SystemExit("the query was not cancelled")
    except asyncio.CancelledError:
        pass
    want("after the cancel", await other.fetchval("SELECT 1"), 1)
    want("same session", other.get_server_pid(), pid)
    ok("cancel")

    async with asyncpg.create_pool(min_size=20, max_size=20) as pool:
        results = await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(200)))
        want("results", results, list(range(200)))
    ok("concurrent")

    await conn.close()
    await other.close()


asyncio.run(asyncio.wait_for(main(), 120))

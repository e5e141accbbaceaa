"""Drives aiomysql; see mysql_steps.py."""

import asyncio
import ssl

import aiomysql
import pymysql

from mysql_steps import (
    ATTRIBUTES,
    EXPECTED_USER,
    LARGE,
    NAME,
    PASSWORD,
    SLEEPING,
    TLS,
    USER,
    failed,
    holds,
    place,
    run_async,
    step,
    want,
)


def options():
    context = None
    if TLS:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return {"user": USER, "password": PASSWORD, "db": NAME, "ssl": context, "program_name": "driven", **place()}


async def value(conn, sql, *parameters):
    async with conn.cursor() as cursor:
        await cursor.execute(sql, parameters or None)
        return (await cursor.fetchone())[0]


@step("user")
async def _(conn):
    want("user", await value(conn, "SELECT CURRENT_USER()"), EXPECTED_USER)


@step("database")
async def _(conn):
    want("database", await value(conn, "SELECT DATABASE()"), NAME)


@step("rows")
async def _(conn):
    async with conn.cursor(aiomysql.SSCursor) as cursor:
        await cursor.execute("CREATE TABLE aiomysql_rows (n INT PRIMARY KEY)")
        await cursor.executemany("INSERT INTO aiomysql_rows VALUES (%s)", [(n,) for n in range(1000)])
        await cursor.execute("SELECT n FROM aiomysql_rows ORDER BY n")
        want("rows", [row[0] async for row in cursor], list(range(1000)))
    await conn.commit()


@step("error")
async def _(conn):
    try:
        await value(conn, "SELECT * FROM nowhere")
        failed("a table that is not there")
    except pymysql.err.ProgrammingError as error:
        want("code", error.args[0], 1146)
    want("after it", await value(conn, "SELECT 1"), 1)


@step("transaction")
async def _(conn):
    async with conn.cursor() as cursor:
        await cursor.execute("DELETE FROM aiomysql_rows")
    await conn.rollback()
    want("after the rollback", await value(conn, "SELECT COUNT(*) FROM aiomysql_rows"), 1000)
    await conn.commit()


@step("large")
async def _(conn):
    large = "0123456789abcdef" * (LARGE // 16)
    want("a large value came back", await value(conn, "SELECT %s", large) == large, True)


@step("kill")
async def _(conn):
    other = await aiomysql.connect(**options())
    pid = other.thread_id()
    sleeping = asyncio.ensure_future(value(other, "SELECT SLEEP(600)"))
    await holds(lambda: value(conn, SLEEPING % pid))
    async with conn.cursor() as cursor:
        await cursor.execute(f"KILL QUERY {pid}")
    try:
        want("killed", await sleeping, 1)
    except pymysql.err.OperationalError as error:
        want("code", error.args[0], 1317)
    want("after it", await value(other, "SELECT 1"), 1)
    await other.ensure_closed()


@step("attributes")
async def _(conn):
    async with conn.cursor() as cursor:
        await cursor.execute(ATTRIBUTES)
        attributes = dict(await cursor.fetchall())
    want("program_name", attributes.get("program_name"), "driven")


@step("concurrent")
async def _(_conn):
    async with aiomysql.create_pool(minsize=20, maxsize=20, **options()) as pool:

        async def ask(n):
            async with pool.acquire() as conn:
                return await value(conn, "SELECT %s", n)

        want("answers", await asyncio.gather(*(ask(n) for n in range(200))), list(range(200)))


async def main():
    conn = await aiomysql.connect(**options())
    await run_async(conn)
    await conn.ensure_closed()


asyncio.run(asyncio.wait_for(main(), 120))

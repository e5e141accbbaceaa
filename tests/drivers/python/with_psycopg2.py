"""Drives psycopg2, that is libpq, against the server that PGHOST and PGPORT name; prints "ok: STEP" for each step that gave what it must.

PGUSER need not be the user that the session runs as, which is in EXPECTED_USER.
"""

import io
import os
import select
import threading

import psycopg2
import psycopg2.errors
import psycopg2.extensions


def ok(step):
    print(f"ok: {step}", flush=True)


def want(what, got, wanted):
    if got != wanted:
        raise SystemExit(f"{what}: got {got!r}, want {wanted!r}")


def value(conn, sql, *parameters):
    with conn.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]


conn = psycopg2.connect("")
want("user", value(conn, "SELECT current_user::text"), os.environ["EXPECTED_USER"])
ok("user")

with conn, conn.cursor() as cursor:
    cursor.execute("CREATE TABLE kept (n int)")
try:
    with conn, conn.cursor() as cursor:
        cursor.execute("INSERT INTO kept VALUES (1)")
        cursor.execute("SELECT 1/0")
    raise SystemExit("division by zero went unnoticed")
except psycopg2.errors.DivisionByZero as error:
    want("SQLSTATE", error.pgcode, "22012")
want("rows after the rollback", value(conn, "SELECT count(*) FROM kept"), 0)
ok("transaction")

with conn.cursor("by_name") as cursor:  # a cursor of the server
    cursor.itersize = 100
    cursor.execute("SELECT generate_series(1, 1000)")
    want("sum", sum(row[0] for row in cursor), 500500)
ok("cursor")

with conn.cursor() as cursor:
    cursor.execute("CREATE TEMPORARY TABLE numbers (n int, words text)")
    cursor.copy_expert("COPY numbers FROM STDIN", io.StringIO("".join(f"{n}\t{'x' * (n % 100)}\n" for n in range(10_000))))
    sink = io.StringIO()
    cursor.copy_expert("COPY (SELECT * FROM numbers ORDER BY n) TO STDOUT", sink)
    want("lines", sink.getvalue().count("\n"), 10_000)
ok("copy")

blob = conn.lobject(0, "wb")
blob.write(b"\x00\xff" * 100_000)
oid = blob.oid
blob.close()
want("blob", conn.lobject(oid, "rb").read(), b"\x00\xff" * 100_000)
conn.commit()
ok("large object")

conn.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
other = psycopg2.connect("")
other.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
with conn.cursor() as cursor:
    cursor.execute("LISTEN psycopg2_news")
with other.cursor() as cursor:
    cursor.execute("NOTIFY psycopg2_news, 'hello'")
while not conn.notifies:
    select.select([conn], [], [], 60)
    conn.poll()
want("news", conn.notifies[0].payload, "hello")
ok("notify")

outcome = []


def sleep():
    try:
        value(other, "SELECT pg_sleep(600)")
        outcome.append("was not cancelled")
    except psycopg2.errors.QueryCanceled as error:
        outcome.append(error.pgcode)


sleeper = threading.Thread(target=sleep)
sleeper.start()
pid = other.get_backend_pid()
while not value(conn, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s AND state = 'active' AND query LIKE '%%sleep%%')", pid):
    pass
other.cancel()  # PQcancel
sleeper.join()
want("cancelled query", outcome, ["57014"])
want("same session", value(other, "SELECT pg_backend_pid()"), pid)
ok("cancel")

many = [psycopg2.connect("") for _ in range(20)]
want("all answer", [value(one, "SELECT %s", n) for n, one in enumerate(many)], list(range(20)))
for one in many:
    one.close()
ok("concurrent")

"""Drives PyMySQL; see mysql_steps.py."""

import ssl
import tempfile
import threading

import pymysql

from mysql_steps import (
    ATTRIBUTES,
    EXPECTED_USER,
    LARGE,
    LINES,
    NAME,
    PASSWORD,
    SLEEPING,
    TLS,
    USER,
    failed,
    place,
    run,
    step,
    want,
    write_lines,
)


def connect():
    context = None
    if TLS:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    options = {"ssl": context} if TLS else {"ssl_disabled": True}
    return pymysql.connect(
        user=USER, password=PASSWORD, database=NAME, local_infile=True, max_allowed_packet=64 << 20, program_name="driven", **place(), **options
    )


def value(conn, sql, *parameters):
    with conn.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchone()[0]


@step("user")
def _(conn):
    want("user", value(conn, "SELECT CURRENT_USER()"), EXPECTED_USER)


@step("database")
def _(conn):
    want("database", value(conn, "SELECT DATABASE()"), NAME)
    conn.select_db("information_schema")
    want("other database", value(conn, "SELECT DATABASE()"), "information_schema")
    conn.select_db(NAME)


@step("rows")
def _(conn):
    with conn.cursor() as cursor:
        cursor.execute("CREATE TABLE pymysql_rows (n INT PRIMARY KEY, words TEXT)")
        cursor.executemany("INSERT INTO pymysql_rows VALUES (%s, %s)", [(n, "x" * (n % 50)) for n in range(1000)])
    with conn.cursor(pymysql.cursors.SSCursor) as cursor:  # one row at a time
        cursor.execute("SELECT n FROM pymysql_rows ORDER BY n")
        want("rows", [row[0] for row in cursor], list(range(1000)))
    conn.commit()


@step("error")
def _(conn):
    try:
        value(conn, "SELECT * FROM nowhere")
        failed("a table that is not there")
    except pymysql.err.ProgrammingError as error:
        want("code", error.args[0], 1146)
    want("after it", value(conn, "SELECT 1"), 1)


@step("transaction")
def _(conn):
    with conn.cursor() as cursor:
        cursor.execute("DELETE FROM pymysql_rows")
    want("inside", value(conn, "SELECT COUNT(*) FROM pymysql_rows"), 0)
    conn.rollback()
    want("after the rollback", value(conn, "SELECT COUNT(*) FROM pymysql_rows"), 1000)
    conn.commit()


@step("large")
def _(conn):
    large = "0123456789abcdef" * (LARGE // 16)
    want("a large value came back", value(conn, "SELECT %s", large) == large, True)
    with conn.cursor() as cursor:
        cursor.execute("CREATE TABLE pymysql_large (words LONGTEXT)")
        cursor.execute("INSERT INTO pymysql_large VALUES (REPEAT('y', %s))", LARGE)
    want("a stored value", value(conn, "SELECT words FROM pymysql_large") == "y" * LARGE, True)


@step("infile")
def _(conn):
    with tempfile.TemporaryDirectory() as directory, conn.cursor() as cursor:
        path = write_lines(directory)
        cursor.execute("CREATE TABLE pymysql_lines (n INT, words TEXT)")
        want("lines", cursor.execute("LOAD DATA LOCAL INFILE %s INTO TABLE pymysql_lines", path), LINES)
    want("loaded", value(conn, "SELECT SUM(LENGTH(words)) FROM pymysql_lines"), sum(n % 100 for n in range(LINES)))


@step("kill")
def _(conn):
    other = connect()
    outcome = []

    def sleep():
        try:
            outcome.append(value(other, "SELECT SLEEP(600)"))
        except pymysql.err.OperationalError as error:
            outcome.append(error.args[0])

    pid = other.thread_id()
    want("its own id", value(other, "SELECT CONNECTION_ID()"), pid)
    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    while not value(conn, SLEEPING % pid):
        pass
    with conn.cursor() as cursor:
        cursor.execute(f"KILL QUERY {pid}")
    sleeper.join()
    want("killed", outcome[0] in (1, 1317), True)  # MySQL's SLEEP gives 1 when it is cut short
    want("after it", value(other, "SELECT 1"), 1)
    conn.kill(pid)
    try:
        other.ping(reconnect=False)
        failed("the end of a session")
    except pymysql.err.OperationalError:
        pass


@step("attributes")
def _(conn):
    with conn.cursor() as cursor:
        cursor.execute(ATTRIBUTES)
        attributes = dict(cursor.fetchall())
    want("program_name", attributes.get("program_name"), "driven")
    want("_client_name", attributes.get("_client_name"), "pymysql")


@step("concurrent")
def _(conn):
    many = [connect() for _ in range(20)]
    want("all answer", [value(one, "SELECT %s", n) for n, one in enumerate(many)], list(range(20)))
    for one in many:
        one.close()


connection = connect()
run(connection)
connection.close()

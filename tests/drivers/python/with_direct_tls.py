"""Connects psycopg2, that is libpq, in TLS that begins at once, and prints what TLS it got and who it is."""

import sys

import psycopg2

connection = psycopg2.connect(sys.argv[1])
info = connection.info
with connection.cursor() as cursor:
    cursor.execute("SELECT current_user")
    print(info.ssl_in_use, info.ssl_attribute("protocol"), cursor.fetchone()[0])

"""Serves the files of a directory by HTTP: an address's path is a file's name. Prints each request's line.

Usage: http_store.py PORT DIRECTORY [CERTIFICATE KEY [ROOT]]. With a certificate it speaks TLS, and with a root it asks for one that comes from there.
If there is a file ".allowed" in the directory, each of its lines is a header that a request must have.
"""

import functools
import http.server
import os
import ssl
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if not self.is_allowed():
            self.send_error(401)
        elif "/." in self.path:
            self.send_error(404)
        else:
            super().do_GET()

    def is_allowed(self):
        try:
            with open(os.path.join(self.directory, ".allowed")) as lines:
                wanted = [line.rstrip("\n").split(": ", 1) for line in lines]
        except FileNotFoundError:
            return True
        return all(self.headers.get(name) == value for name, value in wanted)

    def log_message(self, format, *arguments):
        print(format % arguments, flush=True)


def main(port, directory, certificate=None, key=None, root=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), functools.partial(Handler, directory=directory))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        if root:
            context.load_verify_locations(root)
            context.verify_mode = ssl.CERT_REQUIRED
        # A handshake belongs to its own thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print("ready", flush=True)
    server.serve_forever()


main(*sys.argv[1:])

"""Prints every form in which a password could be found or used: a name and the form's bytes in hexadecimal digits, a line each.

Arguments: the user, the password, and the server's verifier for it (pg_authid.rolpassword). Written from RFC 5802 and the standard
encodings, with the standard library alone, so that it shares no code with what it is used to test.
"""

import base64
import hashlib
import hmac
import html
import json
import sys
import urllib.parse

user, password, verifier = sys.argv[1:]
secret = password.encode()
_, parameters, _ = verifier.split("$")
iterations, salt = parameters.split(":")

salted = hashlib.pbkdf2_hmac("sha256", secret, base64.b64decode(salt), int(iterations))
client_key = hmac.digest(salted, b"Client Key", "sha256")
forms = {
    "plain": secret,
    "reversed": secret[::-1],
    "md5": hashlib.md5(secret + user.encode()).hexdigest().encode(),
    "sha256": hashlib.sha256(secret).hexdigest().encode(),
    "url": urllib.parse.quote(password, safe="").encode(),
    "url-plus": urllib.parse.quote_plus(password).encode(),
    "url-lower": urllib.parse.quote(password, safe="").lower().encode(),
    "json": json.dumps(password)[1:-1].encode(),
    "html": html.escape(password).encode(),
    "utf-16": password.encode("utf-16-le"),
    "array": str(list(secret)).encode(),
}
keys = {
    # What MySQL's methods are computed from, and what its servers keep.
    "sha1": hashlib.sha1(secret).digest(),
    "sha1-twice": hashlib.sha1(hashlib.sha1(secret).digest()).digest(),
    "sha256-raw": hashlib.sha256(secret).digest(),
    "sha256-twice": hashlib.sha256(hashlib.sha256(secret).digest()).digest(),
    "sha512": hashlib.sha512(secret).digest(),
    "salted-password": salted,
    "client-key": client_key,
    "server-key": hmac.digest(salted, b"Server Key", "sha256"),
    "stored-key": hashlib.sha256(client_key).digest(),
}
forms.update(keys)
for name, value in {"plain": secret, **keys}.items():
    forms[f"{name}-hex"] = value.hex().encode()
    forms[f"{name}-hex-upper"] = value.hex().upper().encode()
    # Inside a longer text that is encoded as a whole, the secret begins at any of three places of a group of four letters;
    # the letters at its edges hold its neighbours' bits, too.
    for shift in range(3):
        for alphabet, encode in {"": base64.b64encode, "-url": base64.urlsafe_b64encode}.items():
            letters = encode(b"\0" * shift + value)
            start = -(-shift * 8 // 6)
            forms[f"{name}-base64{alphabet}-{shift}"] = letters[start : (shift + len(value)) * 8 // 6]

for name, form in forms.items():
    print(name, form.hex())

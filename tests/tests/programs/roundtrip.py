"""Appends messages with flags and dates, fetches them, compares every byte."""

import imaplib
import os
import sys

port, corpus = int(sys.argv[1]), sys.argv[2]

def made():
    yield b"Subject: plain\r\n\r\nbody\r\n"
    yield b"Subject: no body\r\n\r\n"
    yield b"no header at all\r\n"
    yield b"\r\n\r\nonly a body\r\n"
    yield b"Subject: bare\nline\n\nends\n"
    yield b"Subject: eight bit \xe4\xf6\r\n\r\n\xff\xfe raw\r\n"
    yield b"Subject: " + b"x" * 100_000 + b"\r\n\r\nlong line\r\n"
    part = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    data = (b"QUJD" * 19 + b"\r\n") * 700
    head = b'Subject: attachment\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    yield head + b"--b\r\n" + part + data + b"--b--\r\n"
    yield head + b"--b\r\n" + part + data.replace(b"\r\n", b"\n") + b"--b--\r\nepilogue"
    yield head + b"--b\r\n" + part + data[:-30] + b"\r\n never closed"

def from_corpus():
    for folder, _, names in os.walk(corpus or "/nonexistent"):
        for name in sorted(names):
            if name.endswith((".eml", ".txt", ".mime")):
                with open(os.path.join(folder, name), "rb") as file:
                    yield file.read()

# Python's own client refuses nothing that IMAP's literals allow but NUL.
messages = [m for m in [*made(), *from_corpus()] if b"\0" not in m and m]
flags = ["", r"\Seen", r"\Flagged \Answered", "$Work Blue", r"\Draft \Deleted"]
client = imaplib.IMAP4("127.0.0.1", port)
client.login("alice@example.org", "secret")
client.create("Trip")
for number, message in enumerate(messages):
    date = '"%02d-Feb-2020 01:02:03 +0100"' % (number % 28 + 1)
    client.literal = message
    status, answer = client._simple_command("APPEND", "Trip", "(%s)" % flags[number % 5], date)
    assert status == "OK", (number, answer)

client.select("Trip", readonly=True)
for number, message in enumerate(messages):
    status, data = client.fetch(str(number + 1), "(RFC822.SIZE FLAGS INTERNALDATE BODY.PEEK[])")
    assert status == "OK"
    head, body = data[0]
    assert body == message, (number, len(body), len(message))
    assert b"RFC822.SIZE %d" % len(message) in head, head
    want = set(flags[number % 5].split())
    got = {flag.decode() for flag in imaplib.ParseFlags(head)} - {r"\Recent"}
    assert got == want, (number, got, want)
    day = number % 28 + 1
    assert b"%2d-Feb-2020 00:02:03 +0000" % day in head, head
print(len(messages), "messages, all came back")

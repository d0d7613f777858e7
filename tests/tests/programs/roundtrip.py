"""Appends messages with flags and dates, fetches them, compares every byte; compares
ENVELOPE and BODYSTRUCTURE with what Python's email package reads in the well-formed ones."""

import email
import email.utils
import imaplib
import os
import re
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
    yield (
        b'From: "Doe, Jo" <jo@example.net>, plain@example.net\r\nTo: A B <a.b@example.org>\r\n'
        b"Subject: folded\r\n subject\r\nMessage-ID: <1@x>\r\nIn-Reply-To: <0@x>\r\n"
        b"Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/alternative; boundary="o"\r\n\r\n'
        b"preamble\r\n--o\r\n\r\nfirst\r\nsecond\r\n--o\r\nContent-Type: message/rfc822\r\n\r\n"
        b"Subject: inner\r\nFrom: i@example.net\r\n\r\ninner text\r\n--o--\r\n"
    )


def from_corpus():
    for folder, _, names in sorted(os.walk(corpus)):
        for name in sorted(names):
            if name.endswith((".eml", ".txt", ".mime")):
                with open(os.path.join(folder, name), "rb") as file:
                    yield file.read()


def value(octets, at):
    """A value of a response, and where it ends."""
    if octets[at : at + 1] == b"(":
        values, at = [], at + 1
        while octets[at : at + 1] != b")":
            one, at = value(octets, at)
            values.append(one)
            at += octets[at : at + 1] == b" "
        return values, at + 1
    if literal := re.compile(rb"\{(\d+)\}\r\n").match(octets, at):
        end = literal.end() + int(literal[1])
        return octets[literal.end() : end], end
    if quoted := re.compile(rb'"((?:[^"\\]|\\.)*)"').match(octets, at):
        return re.sub(rb"\\(.)", rb"\1", quoted[1]), quoted.end()
    atom = re.compile(rb"[^ ()]+").match(octets, at)
    return (None if atom[0] == b"NIL" else atom[0]), atom.end()


class Anything:
    """What is equal to all: for addresses that the standard does not settle."""

    def __eq__(self, other):
        return True


ANYTHING = Anything()


def raw(text):
    return text.encode("ascii", "surrogateescape")


def header(message, name):
    text = {key.lower(): text for key, text in [*message.raw_items()][::-1]}.get(name)
    return None if text is None else raw(re.sub("\r?\n", "", text).strip())


def addresses(message, name, instead=None):
    text = header(message, name)
    if text is None:
        return addresses(message, instead) if instead else None
    found = email.utils.getaddresses([text.decode("ascii", "surrogateescape")])
    if b"(" in text or not all("@" in address for _, address in found):
        return ANYTHING
    split = [(name, *address.rpartition("@")[::2]) for name, address in found]
    return [[raw(name) or None, None, raw(box), raw(host)] for name, box, host in split]


def envelope(message):
    return [
        header(message, "date"),
        header(message, "subject"),
        addresses(message, "from"),
        addresses(message, "sender", "from"),
        addresses(message, "reply-to", "from"),
        addresses(message, "to"),
        addresses(message, "cc"),
        addresses(message, "bcc"),
        header(message, "in-reply-to"),
        header(message, "message-id"),
    ]


def structure(part):
    """The type; of multiparts the children, of others the size in octets, of text the lines."""
    kind = [raw(part.get_content_maintype()), raw(part.get_content_subtype())]
    if kind[0] == b"multipart":
        return [structure(child) for child in part.get_payload()] + [kind[1]]
    if kind == [b"message", b"rfc822"]:
        return [*kind, envelope(part.get_payload(0)), structure(part.get_payload(0))]
    if kind[0] == b"message":
        # Python splits these up.
        return kind
    body = raw(part._payload)
    # A last line without its end is none.
    lines = [body.count(b"\n")] if kind[0] == b"text" else []
    return [*kind, len(body), *lines]


def told_structure(told):
    if isinstance(told[0], list):
        kind = next(i for i, one in enumerate(told) if not isinstance(one, list))
        return [told_structure(child) for child in told[:kind]] + [told[kind].lower()]
    kind = [told[0].lower(), told[1].lower()]
    if kind == [b"message", b"rfc822"]:
        return [*kind, told[7], told_structure(told[8])]
    if kind[0] == b"message":
        return kind
    return [*kind, int(told[6]), *([int(told[7])] if kind[0] == b"text" else [])]


def is_well_formed(octets, message):
    parts = list(message.walk())
    ends = {octets.count(b"\r\n"), octets.count(b"\n"), octets.count(b"\r")}
    is_unix = b"\r" not in octets
    return (len(ends) == 1 or is_unix) and not any(
        part.defects or part.get_payload() == [] for part in parts
    )


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

status, data = client.select("Trip", readonly=True)
assert data == [b"%d" % len(messages)], data
compared, different = 0, []
for number, message in enumerate(messages):
    status, data = client.fetch(str(number + 1), "(RFC822.SIZE FLAGS INTERNALDATE BODY.PEEK[])")
    assert status == "OK"
    head, body = data[0]
    assert body == message, (number, len(body), len(message))
    assert re.search(rb"RFC822.SIZE %d\b" % len(message), head), head
    want = set(flags[number % 5].split())
    got = {flag.decode() for flag in imaplib.ParseFlags(head)} - {r"\Recent"}
    assert got == want, (number, got, want)
    day = number % 28 + 1
    assert b"%2d-Feb-2020 00:02:03 +0000" % day in head, head

    status, data = client.fetch(str(number + 1), "(ENVELOPE BODYSTRUCTURE)")
    assert status == "OK"
    line = b"".join(b"\r\n".join(one) if isinstance(one, tuple) else one for one in data)
    (_, told_envelope, _, told), end = value(line, line.index(b"("))
    assert end == len(line), line
    read = email.message_from_bytes(message)
    if is_well_formed(message, read):
        compared += 1
        pairs = [*zip(told_envelope, envelope(read)), (told_structure(told), structure(read))]
        different += [(number, message[:300], *pair) for pair in pairs if pair[0] != pair[1]]

for one in different:
    print(*one, sep="\n  ")
assert not different
print(len(messages), compared)

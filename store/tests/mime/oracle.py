"""What Python's email package makes of messages: one JSON object a line.

Reads `LENGTH\\n` and so many octets, again and again. A message in which the
package finds a defect, or that leans on what it decodes itself, is `null`.
"""
import email
import email.policy
import email.utils
import json
import re
import sys

POLICY = email.policy.compat32


def raw(message, name):
    """The first field of that name on one line, as octets are in it."""
    value = message.get(name)
    if value is None:
        return None
    value = str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return re.sub(r"[\r\n]", "", value).strip()


def parameters(message, header):
    found = message.get_params(failobj=[], header=header)
    plain = [(name, value) for name, value in found[1:] if name and isinstance(value, str)]
    return [[name.lower(), re.sub(r"[\r\n]", "", value)] for name, value in plain]


def decoded_alike(message, encoding):
    """Whether the package undoes this encoding, and only as RFC 2045 has it: it
    keeps white space before a line end that section 6.7 takes away."""
    exact = str(message.get("content-transfer-encoding", encoding)).lower() == encoding
    if encoding == "quoted-printable" and re.search(r"[ \t]\r?\n", message.get_payload()):
        return False
    return exact and encoding in ("7bit", "8bit", "binary", "base64", "quoted-printable")


def kind(message):
    return message.get_content_type().lower()


def part(message):
    params = parameters(message, "content-type")
    if kind(message) == "text/plain" and not any(n == "charset" for n, _ in params):
        params.append(["charset", "us-ascii"])
    disposition = message.get_content_disposition()
    encoding = (raw(message, "content-transfer-encoding") or "7bit").lower()
    nested = kind(message) in ("message/rfc822", "message/global")
    # The package looks into other message types too; we leave them whole.
    children = message.get_payload() if message.get_content_maintype() == "multipart" else []
    content = None
    if not message.is_multipart() and decoded_alike(message, encoding):
        content = message.get_payload(decode=True).decode("utf-8", "replace")
        content = content.replace("\r\n", "\n")
    inside = None
    if nested:
        inner = message.get_payload()[0]
        inside = {"subject": raw(inner, "subject"), "structure": part(inner)}
    return {
        "type": kind(message),
        "parameters": params,
        "encoding": encoding,
        "id": raw(message, "content-id"),
        "description": raw(message, "content-description"),
        "disposition": disposition,
        "filename": None if disposition is None else parameters(message, "content-disposition"),
        "content": content,
        "children": [part(child) for child in children],
        "message": inside,
    }


def addresses(message, name):
    values = message.get_all(name, [])
    if name == "from":
        values = values[:1]
    values = [re.sub(r"[\r\n]", "", str(value)) for value in values]
    # Groups are flattened by us both; Python before 3.13 keeps no group names.
    try:
        pairs = email.utils.getaddresses(values, strict=False)
    except TypeError:  # before the security releases of 2024
        pairs = email.utils.getaddresses(values)
    return [list(pair) for pair in pairs if pair != ("", "")]


def well_formed(octets, message):
    """Also not: delimiters without a part between, which the package takes for
    one; encoded messages, which it does not see; a parameter given twice, or
    without a semicolon before it."""
    if re.search(rb"^(--.+)\r?\n\1\r?\n", octets, re.MULTILINE):
        return False
    return not any(p.defects or encoded_message(p) or doubled(p) for p in message.walk())


def encoded_message(part):
    encoding = (raw(part, "content-transfer-encoding") or "").lower()
    return part.get_content_maintype() == "message" and encoding in ("base64", "quoted-printable")


def doubled(part):
    found = parameters(part, "content-type")
    names = [name for name, _ in found]
    return len(names) != len(set(names)) or any(value.startswith('"') for _, value in found)


def answer(octets):
    message = email.message_from_bytes(octets, policy=POLICY)
    if not well_formed(octets, message):
        return None
    return {
        "date": raw(message, "date"),
        "subject": raw(message, "subject"),
        "message_id": raw(message, "message-id"),
        "in_reply_to": raw(message, "in-reply-to"),
        "from": addresses(message, "from"),
        "to": addresses(message, "to"),
        "cc": addresses(message, "cc"),
        "structure": part(message),
    }


def main():
    source = sys.stdin.buffer
    while line := source.readline():
        octets = source.read(int(line))
        try:
            found = answer(octets)
        except (UnicodeError, LookupError, ValueError):
            found = None
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

"""imaplib's sort() and thread(): what the server answers is what is worked out here, from what
FETCH says of the messages."""
import email.utils
import imaplib
import sys
from datetime import datetime, timedelta, timezone

imap = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]))
imap.login("alice", "secret")
for name in ("SORT", "SORT=DISPLAY", "ESORT", "THREAD=REFERENCES", "THREAD=ORDEREDSUBJECT"):
    assert name in imap.capability()[1][0].decode().split(), name
start = datetime(2021, 3, 4, tzinfo=timezone.utc)
subjects = ["tea", "Re: tea", "milk", "", "Fwd: milk", "=?utf-8?q?caf=C3=A9?="]
for n in range(48):
    date = start + timedelta(hours=(n * 29) % 48)
    header = [
        f"Message-ID: <m{n}@x>",
        f"Subject: {subjects[n % 6]}",
        f"From: P{n % 5} <p{n * 7 % 11}@example.org>",
    ]
    if n % 7:
        header.append("Date: " + email.utils.format_datetime(date))
    if n % 3 == 1:
        header.append(f"In-Reply-To: <m{n - 1}@x>")
    text = "\r\n".join(header) + "\r\n\r\n" + "x" * (n * 13 % 17)
    received = imaplib.Time2Internaldate(start + timedelta(minutes=n * 5 % 48))
    assert imap.append("INBOX", None, received, text.encode())[0] == "OK"
imap.select("INBOX")


def fetched(item, read):
    values = {}
    for line in imap.fetch("1:*", f"({item})")[1]:
        line = line[0] if isinstance(line, tuple) else line
        values[int(line.split()[0])] = read(line)
    return values


sizes = fetched("RFC822.SIZE", lambda line: int(line.split()[-1].rstrip(b")")))
received = fetched("INTERNALDATE", lambda line: imaplib.Internaldate2tuple(line))


def numbers(answer):
    assert answer[0] == "OK", answer
    return [int(word) for word in answer[1][0].split()]


assert numbers(imap.sort("(SIZE)", "UTF-8", "ALL")) == sorted(sizes, key=lambda n: (sizes[n], n))
assert numbers(imap.sort("REVERSE SIZE", "UTF-8", "ALL")) == sorted(
    sizes, key=lambda n: (-sizes[n], n)
)
assert numbers(imap.sort("ARRIVAL", "US-ASCII", "ALL")) == sorted(
    received, key=lambda n: (received[n], n)
)
by_date = numbers(imap.uid("SORT", "(DATE)", "UTF-8", "1:20"))
assert sorted(by_date) == list(range(1, 21)), by_date
assert numbers(imap.sort("(SUBJECT)", "UTF-8", "SUBJECT", "nothing")) == []


def leaves(text):
    return sorted(int(word) for word in text.replace("(", " ").replace(")", " ").split())


for algorithm in ("REFERENCES", "ORDEREDSUBJECT"):
    for answer in (
        imap.thread(algorithm, "UTF-8", "ALL"),
        imap.uid("THREAD", algorithm, "UTF-8", "ALL"),
    ):
        assert answer[0] == "OK" and leaves(answer[1][0].decode()) == list(range(1, 49)), answer
# Each answer stands below what it answers.
threads = imap.thread("REFERENCES", "UTF-8", "2:3")[1][0].decode()
assert threads == "(3)(2)" or threads == "(2)(3)", threads
imap.logout()
print("sorted")

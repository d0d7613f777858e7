"""Two servers with the same mail: what they answer to SORT and THREAD is the same."""
import email.utils
import imaplib
import random
import sys
from datetime import datetime, timedelta, timezone

start = datetime(2021, 3, 4, tzinfo=timezone.utc)
bases = ["tea", "TEA", "milk", "caf=C3=A9", "Re", "a [b] c"]
prefixes = ["", "Re: ", "RE:  ", "Fwd: ", "Fw [x]: ", "[list] ", "[list] Re: ", "[fwd: "]
people = ["ann", "Bob", "carl", "Zoë"]


def made(seed):
    mail = []
    chance = random.Random(seed)
    for n in range(40):
        base, prefix = chance.choice(bases), chance.choice(prefixes)
        subject = prefix + base + ("]" if prefix == "[fwd: " else "") + chance.choice(["", " (fwd)"])
        if "=C3" in subject:
            subject = "=?utf-8?q?" + subject.replace(" ", "_").replace("?", "") + "?="
        lines = [f"Subject: {subject}"] if chance.random() < 0.9 else []
        if chance.random() < 0.9:
            lines.append(f"Message-ID: <m{n}@x>")
        if chance.random() < 0.8:
            date = start + timedelta(hours=chance.randrange(20))
            zone = timezone(timedelta(hours=chance.randrange(-3, 4)))
            lines.append("Date: " + email.utils.format_datetime(date.astimezone(zone)))
        ids = [f"<m{chance.randrange(44)}@x>" for _ in range(chance.randrange(4))]
        if chance.random() < 0.5 and ids:
            lines.append("References: " + " ".join(ids))
        elif ids:
            lines.append("In-Reply-To: " + ids[0])
        for field in ("From", "To", "Cc"):
            if chance.random() < 0.8:
                name, address = chance.choice(people), chance.choice(people[:3])
                name = "=?utf-8?q?Zo=C3=AB?=" if not name.isascii() else name
                shown = f"{name} <{address}@x.org>" if chance.random() < 0.5 else f"{address}@x.org"
                lines.append(f"{field}: {shown}")
        text = "\r\n".join(lines) + "\r\n\r\n" + "x" * chance.randrange(30)
        received = imaplib.Time2Internaldate(start + timedelta(minutes=chance.randrange(2000)))
        mail.append((received, text.encode()))
    return mail


servers = []
for port in sys.argv[1:3]:
    imap = imaplib.IMAP4("127.0.0.1", int(port))
    imap.login("alice", "secret")
    servers.append(imap)
keys = ["ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"]
compared = 0
for seed in range(5):
    for imap in servers:
        imap.create(f"seed{seed}")
        for received, text in made(seed):
            assert imap.append(f"seed{seed}", None, received, text)[0] == "OK"
        imap.select(f"seed{seed}")
    asked = [("SORT", f"({reverse}{key})") for key in keys for reverse in ("", "REVERSE ")]
    asked += [("SORT", "(SUBJECT REVERSE DATE)"), ("SORT", "(FROM TO SIZE)")]
    asked += [("THREAD", "REFERENCES"), ("THREAD", "ORDEREDSUBJECT")]
    for name, how in asked:
        answers = []
        for imap in servers:
            answers.append((imap.sort if name == "SORT" else imap.thread)(how, "UTF-8", "ALL"))
        assert answers[0] == answers[1] and answers[0][0] == "OK", (seed, name, how, answers)
        compared += 1
print("compared", compared)

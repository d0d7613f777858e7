# SEARCH=FUZZY (RFC 6203)
A = alice
A> a1 APPEND INBOX (\Seen) {@+}
| From: Timo <timo@example.org>
| Subject: IMAP is broken
| 
| Nothing works
A< a1 OK ...
A> a2 APPEND INBOX {@+}
| From: bob@example.org
| Subject: broken IMAP
| 
| The cafe is closed
A< a2 OK ...
A> a3 APPEND INBOX {@+}
| From: carl@example.org
| Subject: IMAP broken since noon
| 
| Le caf=C3=A9 is open; we recieve mail
A< a3 OK ...
A> a4 APPEND INBOX {@+}
| From: bob@example.org
| Subject: imap works
| 
| We receive mail
A< a4 OK ...
A> a5 SELECT INBOX
A~ a5 OK ...
A> b1 SEARCH SUBJECT "IMAP broken"
A< * SEARCH 3
A< b1 OK ...
A> b2 SEARCH FUZZY (SUBJECT "IMAP broken")
A< * SEARCH 1 2 3
A< b2 OK ...
A> b3 SEARCH FUZZY SUBJECT "IMAP brokne" FROM bob
A< * SEARCH 2
A< b3 OK ...
A> b4 SEARCH RETURN (RELEVANCY ALL) FUZZY SUBJECT "IMAP broken"
A< * ESEARCH (TAG "b4") ALL 1:3 RELEVANCY (95 95 100)
A< b4 OK ...
A> b5 SORT (RELEVANCY) UTF-8 FUZZY SUBJECT "IMAP broken"
A< * SORT 3 1 2
A< b5 OK ...
A> b6 UID SORT RETURN (RELEVANCY ALL) (REVERSE RELEVANCY) UTF-8 FUZZY SUBJECT "IMAP broken"
A< * ESEARCH (TAG "b6") UID ALL 1:3 RELEVANCY (95 95 100)
A< b6 OK ...
A> b7 SEARCH RETURN (RELEVANCY ALL) FUZZY BODY "receive"
A< * ESEARCH (TAG "b7") ALL 3:4 RELEVANCY (55 100)
A< b7 OK ...
# Flags, dates and sizes are exact in any case (section 3)
A> c1 SEARCH FUZZY SEEN
A< * SEARCH 1
A< c1 OK ...
A> c2 SEARCH FUZZY SMALLER 1
A< * SEARCH
A< c2 OK ...
A> c3 SEARCH NOT FUZZY SUBJECT broken
A< * SEARCH 4
A< c3 OK ...
A> c4 SEARCH RETURN (RELEVANCY ALL) SEEN
A< * ESEARCH (TAG "c4") ALL 1 RELEVANCY (100)
A< c4 OK ...
A> c5 SEARCH RETURN (RELEVANCY ALL) FUZZY SUBJECT nowhere
A< * ESEARCH (TAG "c5")
A< c5 OK ...

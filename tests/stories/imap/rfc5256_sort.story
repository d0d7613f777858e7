# SORT (RFC 5256 section 3), SORT=DISPLAY (RFC 5957), ESORT (RFC 5267 section 3)
A = alice
A> a1 CAPABILITY
A< ...SORT SORT=DISPLAY ESORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES I18NLEVEL=1...
A< a1 OK ...
A> a2 SORT (DATE) UTF-8 ALL
A< a2 BAD ...
A> b1 APPEND INBOX (\Seen) " 5-Jan-2020 00:00:00 +0000" {@+}
| Date: Thu, 2 Jan 2020 12:00:00 +0000
| From: =?utf-8?q?=C3=89mile?= <zoe@example.org>
| To: Team: carol@example.org;
| Subject: Re: [list] banana (fwd)
| 
| A longer body than the others have, by far
A< b1 OK ...
A> b2 APPEND INBOX " 4-Jan-2020 00:00:00 +0000" {@+}
| Date: Thu, 2 Jan 2020 12:30:00 +0100
| From: bob@example.org
| To: Ann <ann@example.org>
| Cc: xena@example.org
| Subject: APPLE
| 
A< b2 OK ...
A> b3 APPEND INBOX " 3-Jan-2020 00:00:00 +0000" {@+}
| From: "eve" <carl@example.org>
| To: bill@example.org
| Subject: banana
| 
A< b3 OK ...
A> b4 APPEND INBOX " 2-Jan-2020 00:00:00 +0000" {@+}
| Date: no date at all
| 
A< b4 OK ...
A> c1 SELECT INBOX
A~ c1 OK ...
A> c2 SORT (ARRIVAL) UTF-8 ALL
A< * SORT 4 3 2 1
A< c2 OK ...
# Without a Date that reads, INTERNALDATE is the sent date (section 2.2)
A> c3 SORT (DATE) UTF-8 ALL
A< * SORT 4 2 1 3
A< c3 OK ...
A> c4 SORT (REVERSE DATE) US-ASCII ALL
A< * SORT 3 1 2 4
A< c4 OK ...
# Equal base subjects stay in sequence, also in reverse (sections 2.1 and 3)
A> c5 SORT (SUBJECT) UTF-8 ALL
A< * SORT 4 2 1 3
A< c5 OK ...
A> c6 SORT (REVERSE SUBJECT) UTF-8 ALL
A< * SORT 1 3 2 4
A< c6 OK ...
A> c7 SORT (SUBJECT REVERSE DATE) UTF-8 ALL
A< * SORT 4 2 3 1
A< c7 OK ...
A> c8 UID SORT (FROM) UTF-8 NOT 4
A< * SORT 2 3 1
A< c8 OK ...
A> c9 SORT (TO) UTF-8 ALL
A< * SORT 4 2 3 1
A< c9 OK ...
A> d1 SORT (CC) UTF-8 ALL
A< * SORT 1 3 4 2
A< d1 OK ...
A> d2 SORT (REVERSE SIZE) UTF-8 SEEN
A< * SORT 1
A< d2 OK ...
# é is e and an accent to i;unicode-casemap (RFC 5957 section 3)
A> d3 SORT (DISPLAYFROM) UTF-8 ALL
A< * SORT 4 2 3 1
A< d3 OK ...
A> d4 SORT (DISPLAYTO) UTF-8 ALL
A< * SORT 4 2 3 1
A< d4 OK ...
A> d5 SORT (DATE) UTF-8 FLAGGED
A< * SORT
A< d5 OK ...
A> d6 SORT (DATE) X-KLINGON ALL
A< d6 NO [BADCHARSET ...
A> d7 SORT (DATE) ALL
A< d7 NO [BADCHARSET ...

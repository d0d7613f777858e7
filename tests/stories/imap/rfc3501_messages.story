# APPEND, FETCH, STORE, EXPUNGE (RFC 3501 sections 6.3.11, 6.4.3, 6.4.5, 6.4.6)
A = alice
B = alice
A> a1 APPEND INBOX (\Flagged Work) "17-Jul-1996 02:44:25 -0700" {@}
| Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
| From: Terry Gray <gray@cac.washington.edu>
| Subject: IMAP4rev1 WG mtg summary and minutes
| To: imap@cac.washington.edu
| cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
| Message-Id: <B27397-0100000@cac.washington.edu>
| MIME-Version: 1.0
| Content-Type: TEXT/PLAIN; CHARSET=US-ASCII
| 
| Hello
| there
A< a1 OK [APPENDUID $validity 1] ...
A> a2 APPEND INBOX {@+}
| Subject: two
| MIME-Version: 1.0
| Content-Type: multipart/mixed; boundary=b
| 
| --b
| 
| one
| --b
| Content-Type: text/html
| Content-Transfer-Encoding: quoted-printable
| 
| <p>two</p>
| --b--
A< a2 OK [APPENDUID $validity 2] ...
A> a3 APPEND nowhere {@+}
| x: y
| 
A< a3 NO [TRYCREATE] ...
A> a4 SELECT INBOX
A~ * 2 EXISTS
A~ * OK [UNSEEN 1] ...
A~ a4 OK [READ-WRITE] ...
A> a5 FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE UID)
A< * 1 FETCH (FLAGS (\Flagged \Recent Work) INTERNALDATE "17-Jul-1996 09:44:25 +0000" RFC822.SIZE 356 UID 1)
A< a5 OK ...
A> a6 FETCH 1 ENVELOPE
A< * 1 FETCH (ENVELOPE ("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL "<B27397-0100000@cac.washington.edu>"))
A< a6 OK ...
A> a7 FETCH 1 BODY
A< * 1 FETCH (BODY ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 14 2))
A< a7 OK ...
A> a8 FETCH 2 BODYSTRUCTURE
A< * 2 FETCH (BODYSTRUCTURE (("text" "plain" ("charset" "us-ascii") NIL NIL "7BIT" 3 ...)("text" "html" NIL NIL NIL "quoted-printable" 10 ...) "mixed" ("boundary" "b") NIL NIL NIL))
A< a8 OK ...
# PEEK sets nothing; a section is echoed as it was asked for
A> b1 FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject "DATE")]
A< * 1 FETCH (BODY[HEADER.FIELDS (Subject DATE)] {@}
| Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
| Subject: IMAP4rev1 WG mtg summary and minutes
| 
A& )
A< b1 OK ...
A> b2 FETCH 1 (BODY.PEEK[TEXT]<7.7>)
A< * 1 FETCH (BODY[TEXT]<7> {@}
| there
A& )
A< b2 OK ...
A> b3 FETCH 2 (BODY.PEEK[2.MIME])
A< * 2 FETCH (BODY[2.MIME] {@}
| Content-Type: text/html
| Content-Transfer-Encoding: quoted-printable
| 
A& )
A< b3 OK ...
A> b4 FETCH 2 (BODY.PEEK[3])
A< * 2 FETCH (BODY[3] NIL)
A< b4 OK ...
# Reading sets \Seen and says so, to others too
B> b5 SELECT INBOX
B~ b5 OK ...
A> b6 FETCH 1 BODY[TEXT]
A< * 1 FETCH (BODY[TEXT] {@}
| Hello
| there
A&  FLAGS (\Flagged \Seen \Recent Work))
A< b6 OK ...
B> b7 NOOP
B< * 1 FETCH (UID 1 FLAGS (\Flagged \Seen Work))
B< b7 OK ...
# STORE
A> c1 STORE 1:2 +FLAGS (\Deleted new)
A< * FLAGS (...new...)
A< * OK [PERMANENTFLAGS (...new...)] ...
A? * 1 FETCH (FLAGS (\Flagged \Deleted \Seen \Recent...))
A? * 2 FETCH (FLAGS (\Deleted \Recent new))
A< c1 OK ...
A> c2 STORE 2 -FLAGS.SILENT (\Deleted)
A< c2 OK ...
A> c3 STORE 2 FLAGS (\Answered)
A< * 2 FETCH (FLAGS (\Answered \Recent))
A< c3 OK ...
A> c4 STORE 3 FLAGS ()
A< c4 BAD ...
A> c5 STORE 2 FLAGS (\Recent)
A< c5 BAD expected a flag that can be set ...
# EXPUNGE; the numbers of others stay until they may change (section 7.4.1)
A> d1 EXPUNGE
A< * 1 EXPUNGE
A< d1 OK ...
B> d2 FETCH 2 UID
B~ d2 OK ...
B> d3 NOOP
B~ * 1 EXPUNGE
B~ d3 OK ...
B> d4 FETCH 1:* UID
B< * 1 FETCH (UID 2)
B< d4 OK ...
# CLOSE expunges and says nothing
B> e1 STORE 1 +FLAGS.SILENT (\Deleted)
B< e1 OK ...
B> e2 CLOSE
B< e2 OK ...
A> e3 NOOP
A< * 1 EXPUNGE
A< e3 OK ...

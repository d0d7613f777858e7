# THREAD (RFC 5256 section 3)
A = alice
A> a1 APPEND INBOX {@+}
| Date: Wed, 1 Jan 2020 01:00:00 +0000
| Message-ID: <1@x>
| Subject: one
| 
A< a1 OK ...
A> a2 APPEND INBOX {@+}
| Date: Wed, 1 Jan 2020 02:00:00 +0000
| Message-ID: <2@x>
| References: <1@x>
| Subject: Re: one
| 
A< a2 OK ...
A> a3 APPEND INBOX {@+}
| Date: Wed, 1 Jan 2020 04:00:00 +0000
| Message-ID: <3@x>
| In-Reply-To: <1@x>
| Subject: Re: one
| 
A< a3 OK ...
A> a4 APPEND INBOX {@+}
| Date: Wed, 1 Jan 2020 03:00:00 +0000
| Message-ID: <4@x>
| References: <1@x> <2@x>
| Subject: other
| 
A< a4 OK ...
# Two answers to what is not here: a thread whose top is missing
A> a5 APPEND INBOX {@+}
| Date: Wed, 1 Jan 2020 06:00:00 +0000
| Message-ID: <5@x>
| References: <gone@x>
| Subject: Re: lost
| 
A< a5 OK ...
A> a6 APPEND INBOX {@+}
| Date: Wed, 1 Jan 2020 05:00:00 +0000
| Message-ID: <6@x>
| References: <gone@x>
| Subject: Re: lost
| 
A< a6 OK ...
# Nothing but the subject says where it belongs
A> a7 APPEND INBOX {@+}
| Date: Wed, 1 Jan 2020 00:30:00 +0000
| Subject: Fwd: ONE
| 
A< a7 OK ...
A> a8 SELECT INBOX
A~ a8 OK ...
A> b1 THREAD REFERENCES UTF-8 ALL
A< * THREAD (1 (7)(2 4)(3))((6)(5))
A< b1 OK ...
A> b2 THREAD ORDEREDSUBJECT UTF-8 ALL
A< * THREAD (7 (1)(2)(3))(4)(6 5)
A< b2 OK ...
A> b3 UID THREAD REFERENCES UTF-8 2:4
A< * THREAD ((2 4)(3))
A< b3 OK ...
A> b4 THREAD REFERENCES UTF-8 FLAGGED
A< * THREAD
A< b4 OK ...
A> b5 THREAD REFS UTF-8 ALL
A< b5 BAD ...
A> b6 THREAD REFERENCES X-KLINGON ALL
A< b6 NO [BADCHARSET ...
A> b7 UID STORE 1 +FLAGS.SILENT (\Deleted)
A< b7 OK ...
A> b8 EXPUNGE
A< * 1 EXPUNGE
A< b8 OK ...
A> b9 THREAD REFERENCES UTF-8 ALL
A< * THREAD ((6)(1 3)(2))((5)(4))
A< b9 OK ...

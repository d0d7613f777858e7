# Literals (RFC 3501 section 4.3, RFC 7888)
A = nobody
A> a1 LOGIN {5}
A< + ...
A> alice {6}
A< + ...
A> sesame
A< a1 OK ...
A> a2 LIST {0+}
A>  {5+}
A> inbox
A< * LIST (\HasNoChildren) "/" "INBOX"
A< a2 OK ...
# Too large: refused at once, or skipped whole, and the session goes on
A> a3 SELECT {999999}
A< a3 BAD literal of 999999 octets, at most 65536 are taken
A> a4 NOOP
A< a4 OK ...
# An APPEND that is refused: its message is skipped
A> a6 APPEND nowhere {@+}
| a7 LOGOUT
| 
A< a6 NO [TRYCREATE] ...
A> a8 APPEND nowhere {4}
A< a8 NO [TRYCREATE] ...
A> a9 APPEND INBOX (\Foo) {@+}
| a7 LOGOUT
A< a9 BAD expected a flag that can be set ...
A> b1 APPEND INBOX {0}
A< b1 NO ...
A> b2 APPEND INBOX {999999999999}
A< b2 NO [TOOBIG] ...
# Several messages (RFC 3502)
A> b3 APPEND INBOX {@+}
| Subject: one
| 
A&  (\Seen) {4+}
A> x: y
A< b3 OK [APPENDUID $validity 1:2] ...
A> b4 STATUS INBOX (MESSAGES UNSEEN)
A< * STATUS "INBOX" (MESSAGES 2 UNSEEN 1)
A< b4 OK ...

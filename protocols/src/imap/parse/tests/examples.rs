//! Examples of the RFCs, and what real clients send.

use std::num::NonZeroU32;

use redoubt_log::id::{ModSeq, Timestamp, UidValidity};
use redoubt_log::record::{FlagChange, Flags};

use super::*;
use crate::imap::types::*;

/// Each reads as something; those side by side read as the same.
#[test]
fn the_same_in_other_words() {
    let same = [
        ("a LOGIN SMITH SESAME\r\n", "a login \"SMITH\" {6}\r\nSESAME\r\n"),
        ("a SELECT INBOX\r\n", "a select inbox\n"),
        ("a SELECT INBOX\r\n", "a SELECT {5+}\r\niNbOx\r\n"),
        ("a CREATE owatagusiam/\r\n", "a CREATE owatagusiam\r\n"),
        ("a SUBSCRIBE #news.comp.mail.mime\r\n", "a SUBSCRIBE \"#news.comp.mail.mime\"\r\n"),
        ("a LIST \"\" *\r\n", "a LIST \"\" \"*\"\r\n"),
        ("a LIST #news. \"\"\r\n", "a LIST \"#news.\" {0}\r\n\r\n"),
        (
            "a STATUS blurdybloop (UIDNEXT MESSAGES)\r\n",
            "a status blurdybloop (uidnext messages uidnext)\r\n",
        ),
        ("a FETCH 2:4 FAST\r\n", "a FETCH 2:4 (FLAGS INTERNALDATE RFC822.SIZE)\r\n"),
        ("a FETCH 1 ALL\r\n", "a fetch 1 (flags internaldate rfc822.size envelope)\r\n"),
        ("a FETCH 1 FULL\r\n", "a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY)\r\n"),
        ("a FETCH 1 BODY\r\n", "a FETCH 1 (BODY BODY)\r\n"),
        (
            "a FETCH 1 BODY.PEEK[HEADER.FIELDS (DATE FROM)]\r\n",
            "a FETCH 1 (body.peek[header.fields (\"DATE\" {4}\r\nFROM)])\r\n",
        ),
        ("a STORE 2:4 +FLAGS (\\Deleted \\Seen)\r\n", "a STORE 2:4 +flags \\seen \\deleted\r\n"),
        ("a STORE 1 FLAGS (x X \\Seen)\r\n", "a STORE 1 FLAGS (\\Seen x)\r\n"),
        ("a SEARCH UNSEEN\r\n", "a SEARCH NOT SEEN\r\n"),
        ("a SEARCH NEW\r\n", "a SEARCH (RECENT UNSEEN)\r\n"),
        ("a SEARCH OLD\r\n", "a SEARCH ((NOT (RECENT)))\r\n"),
        ("a SEARCH UNKEYWORD x\r\n", "a SEARCH NOT KEYWORD x\r\n"),
        ("a SEARCH SINCE 1-Feb-1994\r\n", "a SEARCH since \"01-feb-1994\"\r\n"),
        (
            "a SEARCH CHARSET UTF-8 TEXT \"é\"\r\n",
            "a SEARCH CHARSET ISO-8859-1 TEXT {1}\r\n\u{0}\r\n",
        ),
        ("a SEARCH RETURN () ALL\r\n", "a SEARCH RETURN (ALL) ALL\r\n"),
        ("a SEARCH UID $\r\n", "a SEARCH $\r\n"),
        ("a SEARCH 1:3,$\r\n", "a SEARCH OR 1:3 $\r\n"),
        (
            "a SORT (SUBJECT REVERSE DATE) UTF-8 ALL\r\n",
            "a sort (subject reverse date) \"utf-8\" all\r\n",
        ),
        ("a SORT RETURN () (CC) UTF-8 ALL\r\n", "a SORT RETURN (ALL) (CC) US-ASCII ALL\r\n"),
        ("a THREAD REFERENCES UTF-8 UNSEEN\r\n", "a thread references utf-8 not seen\r\n"),
        ("a ID NIL\r\n", "a ID ()\r\n"),
        (
            "a AUTHENTICATE PLAIN dGVzdAB0ZXN0AHRlc3Q=\r\n",
            "a authenticate plain dGVzdAB0ZXN0AHRlc3Q=\r\n",
        ),
    ];
    for (left, right) in same {
        // NUL stands for the one octet that is é in ISO-8859-1.
        let right: Vec<u8> = right.bytes().map(|b| if b == 0 { 0xe9 } else { b }).collect();
        let right = super::command(&right, &Mode::default()).unwrap();
        assert_eq!(super::read(left), right.command, "{left}");
    }
}

/// What clients send and the RFCs show, taken as it is.
#[test]
fn these_read() {
    let lines = [
        "a CAPABILITY\r\n",
        "]a.1-x NOOP\r\n",
        "a AUTHENTICATE GSSAPI\r\n",
        "a ENABLE QRESYNC CONDSTORE X-GOOD-IDEA\r\n",
        "a ID (\"name\" \"Thunderbird\" \"version\" NIL)\r\n",
        "a CREATE MyDrafts (USE (\\Drafts))\r\n",
        "a CREATE Everything (USE (\\All))\r\n",
        "a RENAME INBOX old-mail\r\n",
        "a LIST (SUBSCRIBED REMOTE) \"\" \"*\"\r\n",
        "a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\"\r\n",
        "a LIST () \"\" (\"INBOX\" \"Drafts\" \"Sent/%\")\r\n",
        "a LIST \"\" % RETURN (CHILDREN SUBSCRIBED STATUS (MESSAGES UNSEEN))\r\n",
        "a LIST (SPECIAL-USE) \"\" \"*\" RETURN (SPECIAL-USE)\r\n",
        "a LIST \"\" \"*\" RETURN ()\r\n",
        "a LSUB \"#news.\" \"comp.mail.*\"\r\n",
        "a STATUS x (SIZE HIGHESTMODSEQ MAILBOXID DELETED)\r\n",
        "a UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])\r\n",
        "a FETCH 1 (BODY[1.2.3.HEADER.FIELDS.NOT (Date)]<0.2048> BODY[]<5.1>)\r\n",
        "a FETCH 1 (RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE)\r\n",
        "a FETCH 1 (EMAILID THREADID SAVEDATE MODSEQ)\r\n",
        "a UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345 VANISHED)\r\n",
        "a FETCH 1:* FLAGS (CHANGEDSINCE 0)\r\n",
        "a UID STORE 1 (UNCHANGEDSINCE 12121230045) +FLAGS.SILENT (\\Deleted)\r\n",
        "a STORE 7,5,9 (UNCHANGEDSINCE 0) FLAGS ()\r\n",
        "a SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"\r\n",
        "a SEARCH OR (1:5 UNSEEN) UID 5:* LARGER 100\r\n",
        "a SEARCH MODSEQ \"/flags/\\\\draft\" all 620162338\r\n",
        "a SEARCH RETURN (MIN MAX COUNT) MODSEQ 1\r\n",
        "a UID SEARCH SAVEDATESUPPORTED SAVEDSINCE 1-Feb-2019\r\n",
        "a SEARCH EMAILID e1f-0 THREADID t1f-0\r\n",
        "a SEARCH RETURN (ALL) CHARSET UTF-8 SUBJECT {2+}\r\n\u{e9}\r\n",
        "a SEARCH HEADER Message-ID <a@b>\r\n",
        "a UID EXPUNGE 3000:3002\r\n",
        "a UID MOVE 42:69 foo\r\n",
    ];
    for line in lines {
        read(line);
    }
}

#[test]
fn append_with_all_and_with_nothing() {
    let Command::Append(append) =
        read("a APPEND saved-messages (\\Seen $x) \"07-Feb-1994 21:52:25 -0800\" {310}\r\n")
    else {
        panic!()
    };
    assert_eq!(append.mailbox.as_str(), "saved-messages");
    assert_eq!(append.item.flags.flags, Flags::SEEN);
    assert_eq!(append.item.flags.keywords, ["$x"]);
    assert_eq!(append.item.date, Some(Timestamp(760_686_745_000)));
    assert_eq!((append.item.literal.size, append.item.literal.synchronizing), (310, true));
    let Command::Append(append) = read("a APPEND x {0+}\r\n") else { panic!() };
    assert!(append.item.date.is_none() && !append.item.literal.synchronizing);
    let leap = read("a APPEND x \" 1-Jan-2017 00:59:60 +0100\" {1}\r\n");
    let Command::Append(append) = leap else { panic!() };
    assert_eq!(append.item.date, Some(Timestamp(1_483_228_799_000)));
}

#[test]
fn what_follows_a_message() {
    let mode = Mode::default();
    assert_eq!(append_rest(b"\r\n", &mode), Ok(None));
    let next = append_rest(b" (\\Seen) {5+}\r\n", &mode).unwrap().unwrap();
    assert_eq!((next.flags.flags, next.literal.size), (Flags::SEEN, 5));
    assert_eq!(append_rest(b"x\r\n", &mode).unwrap_err().position, 0);
}

#[test]
fn qresync_says_what_the_client_knows() {
    let line =
        "a SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541 (1,3:4 5,7:8)))\r\n";
    let Command::Select(Select { qresync: Some(qresync), read_only: false, .. }) = read(line)
    else {
        panic!()
    };
    assert_eq!(qresync.uid_validity, UidValidity::new(67_890_007).unwrap());
    assert_eq!(qresync.mod_seq, ModSeq(90_060_115_194_045_000));
    assert_eq!(qresync.known_uids.unwrap().to_string(), "41:211,214:541");
    assert_eq!(qresync.sequence_match.unwrap().uids.to_string(), "5,7:8");
    let Command::Select(select) = read("a EXAMINE x (CONDSTORE QRESYNC (1 20 (1 5)))\r\n") else {
        panic!()
    };
    let qresync = select.qresync.unwrap();
    assert!(select.condstore && select.read_only);
    assert!(qresync.known_uids.is_none() && qresync.sequence_match.is_some());
}

#[test]
fn names_are_decoded_as_the_session_speaks() {
    let name = |line: &[u8], utf8| {
        let mode = Mode { utf8, ..Mode::default() };
        match super::command(line, &mode).map(|tagged| tagged.command) {
            Ok(Command::Delete(name)) => Ok(name.to_string()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.position),
        }
    };
    assert_eq!(name(b"a DELETE Entw&APw-rfe\r\n", false), Ok("Entw\u{fc}rfe".into()));
    assert_eq!(name(b"a DELETE Entw&APw-rfe\r\n", true), Ok("Entw&APw-rfe".into()));
    assert_eq!(name("a DELETE \"Entwürfe\"\r\n".as_bytes(), true), Ok("Entw\u{fc}rfe".into()));
    assert_eq!(name("a DELETE \"Entwürfe\"\r\n".as_bytes(), false), Err(9));
    assert_eq!(name(b"a DELETE \"A & B\"\r\n", false), Err(9));
    assert_eq!(name(b"a DELETE \"x\xff\"\r\n", true), Err(9));
    assert_eq!(name(b"a DELETE iNbOx/Sub\r\n", false), Ok("INBOX/Sub".into()));
    assert_eq!(name(b"a DELETE inboxes\r\n", false), Ok("inboxes".into()));
}

#[test]
fn stores_and_sections_in_detail() {
    let Command::Store(store) = read("a UID STORE 1:*,4 -FLAGS.SILENT \\Draft $Junk\r\n") else {
        panic!()
    };
    assert_eq!(
        (store.numbering, store.how, store.silent),
        (Numbering::Uid, FlagChange::Remove, true)
    );
    assert_eq!(store.set.to_string(), "1:*,4");
    let Command::Fetch(fetch) = read("a FETCH 1 BODY.PEEK[1.2.MIME]<3.4>\r\n") else { panic!() };
    let [FetchItem::Section { section, partial: Some(partial), peek: true }] = &fetch.items[..]
    else {
        panic!("{fetch:?}")
    };
    assert_eq!(section.part, [1, 2].map(|n| NonZeroU32::new(n).unwrap()));
    assert_eq!((section.text.as_ref(), partial.first), (Some(&SectionText::Mime), 3));
    assert!(!fetch.items[0].sets_seen() && FetchItem::Rfc822.sets_seen());
}

#[test]
fn secrets_do_not_show() {
    let printed = format!("{:?}", read("a LOGIN alice hunter2\r\n"));
    assert!(printed.contains("alice") && !printed.contains("hunter2") && !printed.contains("104"));
}

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod reader;
mod reread;

use bytes::BytesMut;
use redoubt_log::id::{
    EmailId, MailboxId, ModSeq, Sequence, ThreadId, Timestamp, Uid, UidValidity,
};
use redoubt_log::record::{Flags, SpecialUse};
use redoubt_store::mime::{Envelope, EnvelopeAddress, Part, Span};

use super::*;
use crate::imap::parse::{Mode, command};
use crate::imap::types::{Command, FetchItem, Numbering, PartialRange, StatusItem, Tag};

fn written(write: impl FnOnce(&mut BytesMut)) -> String {
    let mut out = BytesMut::new();
    write(&mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

fn uid(n: u32) -> Uid {
    Uid::new(n).unwrap()
}

#[test]
fn what_a_string_contains_decides_how_it_is_written() {
    let cases: [(&[u8], &str, &str); 8] = [
        (b"", "\"\"", "\"\""),
        (b"Date", "\"Date\"", "Date"),
        (b"nil", "\"nil\"", "\"nil\""),
        (b"a]b", "\"a]b\"", "a]b"),
        (b"a b", "\"a b\"", "\"a b\""),
        (b"a\"b\\c", "\"a\\\"b\\\\c\"", "\"a\\\"b\\\\c\""),
        (b"a\r\nb", "{4}\r\na\r\nb", "{4}\r\na\r\nb"),
        ("é\0".as_bytes(), "{2}\r\né", "{2}\r\né"),
    ];
    for (text, as_string, as_astring) in cases {
        assert_eq!(written(|out| string(out, text)), as_string);
        assert_eq!(written(|out| astring(out, text)), as_astring);
    }
    assert_eq!(written(|out| nstring(out, None)), "NIL");
    let long = "x".repeat(1001);
    assert_eq!(written(|out| string(out, long.as_bytes())), format!("{{1001}}\r\n{long}"));
}

#[test]
fn names_are_written_as_the_session_speaks() {
    assert_eq!(written(|out| mailbox(out, "Entwürfe", false)), "\"Entw&APw-rfe\"");
    assert_eq!(written(|out| mailbox(out, "Entwürfe", true)), "\"Entwürfe\"");
    assert_eq!(written(|out| mailbox(out, "A & \"B\"", false)), "\"A &- \\\"B\\\"\"");
    assert_eq!(written(|out| mailbox(out, "a\nb", true)), "{3}\r\na\nb");
}

#[test]
fn sets_are_short_and_keep_their_order() {
    let set = |numbers: &[u32]| written(|out| number_set(out, numbers.iter().copied()));
    assert_eq!(set(&[1, 2, 3, 4, 5, 7]), "1:5,7");
    assert_eq!(set(&[7, 5, 6, 9, 8]), "7,5:6,9,8");
    assert_eq!(set(&[u32::MAX - 1, u32::MAX, 1]), "4294967294:4294967295,1");
    assert_eq!(set(&[]), "");
}

#[test]
fn flags_and_dates() {
    let keywords = ["$Junk".to_owned()];
    assert_eq!(written(|out| flags(out, Flags::NONE, &[], false)), "()");
    let both = Flags::SEEN.with(Flags::DRAFT);
    assert_eq!(written(|out| flags(out, both, &keywords, true)), "(\\Seen \\Draft \\Recent $Junk)");
    for (seconds, text) in [
        (0, "\" 1-Jan-1970 00:00:00 +0000\""),
        (837_596_665, "\"17-Jul-1996 09:44:25 +0000\""),
        (-1, "\"31-Dec-1969 23:59:59 +0000\""),
        (i64::MAX / 1000, "\"31-Dec-9999 23:59:59 +0000\""),
        (i64::MIN / 1000, "\" 1-Jan-0000 00:00:00 +0000\""),
    ] {
        assert_eq!(written(|out| date_time(out, Timestamp(seconds * 1000))), text);
    }
    // What we write, clients send back in APPEND.
    let time = Timestamp(837_596_665_000);
    let line = written(|out| {
        out.extend_from_slice(b"a APPEND x ");
        date_time(out, time);
        out.extend_from_slice(b" {1}\r\n");
    });
    match command(line.as_bytes(), &Mode::default()).unwrap().command {
        Command::Append(append) => assert_eq!(append.item.date, Some(time)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fetch_response_item_by_item() {
    let email = EmailId { sequence: Sequence(0x1f), ordinal: 0 };
    let line = written(|out| {
        let mut line = FetchLine::begin(out, 23);
        line.uid(out, uid(7));
        line.flags(out, Flags::SEEN, &[], false);
        line.modseq(out, ModSeq(9));
        line.size(out, 44_827);
        line.internal_date(out, Timestamp(0));
        line.save_date(out, Timestamp(0));
        line.email_id(out, email);
        line.thread_id(out, ThreadId(email));
        line.end(out);
    });
    let expected = "* 23 FETCH (UID 7 FLAGS (\\Seen) MODSEQ (9) RFC822.SIZE 44827 \
        INTERNALDATE \" 1-Jan-1970 00:00:00 +0000\" SAVEDATE \" 1-Jan-1970 00:00:00 +0000\" \
        EMAILID (e1f-0) THREADID (t1f-0))\r\n";
    assert_eq!(line, expected);
}

fn items(asked: &str) -> Vec<FetchItem> {
    let line = format!("a FETCH 1 {asked}\r\n");
    match command(line.as_bytes(), &Mode::default()).unwrap().command {
        Command::Fetch(fetch) => fetch.items,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sections_are_echoed_as_they_were_asked_for() {
    for (asked, echo) in [
        ("BODY[]", "BODY[] {3}\r\n"),
        ("BODY.PEEK[]<5.10>", "BODY[]<5> {3}\r\n"),
        ("body[header]", "BODY[HEADER] {3}\r\n"),
        ("BODY[1.2.mime]", "BODY[1.2.MIME] {3}\r\n"),
        ("BODY[3]", "BODY[3] {3}\r\n"),
        ("BODY[TEXT]<0.1>", "BODY[TEXT]<0> {3}\r\n"),
        ("BODY[HEADER.FIELDS (Date \"X Y\")]", "BODY[HEADER.FIELDS (Date \"X Y\")] {3}\r\n"),
        ("BODY[1.HEADER.FIELDS.NOT (a)]", "BODY[1.HEADER.FIELDS.NOT (a)] {3}\r\n"),
        ("RFC822", "RFC822 {3}\r\n"),
        ("RFC822.HEADER", "RFC822.HEADER {3}\r\n"),
        ("RFC822.TEXT", "RFC822.TEXT {3}\r\n"),
    ] {
        let item = &items(asked)[0];
        let line = written(|out| FetchLine::begin(out, 1).content(out, item, 3));
        assert_eq!(line, format!("* 1 FETCH ({echo}"));
    }
    let line = written(|out| FetchLine::begin(out, 1).no_content(out, &items("BODY[9]")[0]));
    assert_eq!(line, "* 1 FETCH (BODY[9] NIL");
}

#[test]
fn lists_and_statuses() {
    let attributes = [Attribute::HasNoChildren, Attribute::Use(SpecialUse::Sent)];
    assert_eq!(
        written(|out| list(out, &attributes, "Sent", false, false)),
        "* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"\r\n"
    );
    assert_eq!(
        written(|out| list(out, &[Attribute::NonExistent], "Foo", false, true)),
        "* LIST (\\NonExistent) \"/\" \"Foo\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
    );
    assert_eq!(
        written(|out| list(out, &[Attribute::NoSelect], "", false, false)),
        "* LIST (\\Noselect) \"/\" \"\"\r\n"
    );
    assert_eq!(written(|out| lsub(out, &[], "x", false)), "* LSUB () \"/\" \"x\"\r\n");
    let values = [
        StatusValue::Number(StatusItem::Messages, 231),
        StatusValue::Number(StatusItem::UidNext, 1 << 32),
        StatusValue::MailboxId("m3".into()),
    ];
    assert_eq!(
        written(|out| status(out, "blurdybloop", false, &values)),
        "* STATUS \"blurdybloop\" (MESSAGES 231 UIDNEXT 4294967296 MAILBOXID (m3))\r\n"
    );
}

#[test]
fn searches_and_what_vanished() {
    assert_eq!(written(|out| search(out, [2, 84].into_iter(), None)), "* SEARCH 2 84\r\n");
    assert_eq!(written(|out| search(out, [].into_iter(), None)), "* SEARCH\r\n");
    assert_eq!(
        written(|out| search(out, [2].into_iter(), Some(ModSeq(9)))),
        "* SEARCH 2 (MODSEQ 9)\r\n"
    );
    let tag = Tag::new("A282").unwrap();
    let found = Found {
        min: Some(2),
        max: Some(11),
        count: Some(3),
        all: Some(&[2, 10, 11]),
        partial: None,
        relevancy: Some(&[4, 99, 42]),
        modseq: Some(ModSeq(7)),
    };
    assert_eq!(
        written(|out| esearch(out, &tag, Numbering::Uid, &found)),
        "* ESEARCH (TAG \"A282\") UID MIN 2 MAX 11 COUNT 3 ALL 2,10:11 RELEVANCY (4 99 42) MODSEQ 7\r\n"
    );
    let sorted = Found { all: Some(&[5, 3, 4, 2, 1]), ..Found::default() };
    assert_eq!(
        written(|out| esearch(out, &tag, Numbering::Sequence, &sorted)),
        "* ESEARCH (TAG \"A282\") ALL 5,3:4,2,1\r\n"
    );
    let (first, last) = (1.try_into().unwrap(), 3.try_into().unwrap());
    let range = PartialRange { first, last, from_end: true };
    let page = |page| Found { partial: Some((range, page)), ..Found::default() };
    assert_eq!(
        written(|out| esearch(out, &tag, Numbering::Uid, &page(&[7, 8, 11]))),
        "* ESEARCH (TAG \"A282\") UID PARTIAL (-1:-3 7:8,11)\r\n"
    );
    assert_eq!(
        written(|out| esearch(out, &tag, Numbering::Uid, &page(&[]))),
        "* ESEARCH (TAG \"A282\") UID PARTIAL (-1:-3 NIL)\r\n"
    );
    let nothing = Found { count: Some(0), all: Some(&[]), ..Found::default() };
    assert_eq!(
        written(|out| esearch(out, &tag, Numbering::Sequence, &nothing)),
        "* ESEARCH (TAG \"A282\") COUNT 0\r\n"
    );
    let gone = [41, 43, 44].map(uid);
    assert_eq!(
        written(|out| vanished(out, gone.into_iter(), true)),
        "* VANISHED (EARLIER) 41,43:44\r\n"
    );
    assert_eq!(written(|out| vanished(out, [].into_iter(), false)), "");
}

#[test]
fn response_codes() {
    let validity = UidValidity::new(38_505).unwrap();
    assert_eq!(code::append_uid(validity, &[uid(3955)]), "APPENDUID 38505 3955");
    let pairs = [(304, 3956), (319, 3957), (320, 3958)].map(|(a, b)| (uid(a), uid(b)));
    assert_eq!(code::copy_uid(validity, &pairs), "COPYUID 38505 304,319:320 3956:3958");
    assert_eq!(code::modified(&[7, 9]), "MODIFIED 7,9");
    assert_eq!(code::mailbox_id(MailboxId(3)), "MAILBOXID (m3)");
    let keywords = ["x".to_owned()];
    let permanent = |flags, keywords, new| code::permanent_flags(flags, keywords, new);
    assert_eq!(permanent(Flags::SEEN, &keywords, true), "PERMANENTFLAGS (\\Seen x \\*)");
    assert_eq!(permanent(Flags::NONE, &[], false), "PERMANENTFLAGS ()");
    assert_eq!(permanent(Flags::NONE, &[], true), "PERMANENTFLAGS (\\*)");
}

fn octets(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

/// RFC 3501 section 8.
#[test]
fn the_envelope_of_the_rfc() {
    let address = |name: Option<&str>, mailbox: &str, host: &str| EnvelopeAddress {
        name: name.and_then(octets),
        adl: None,
        mailbox: octets(mailbox),
        host: octets(host),
    };
    let terry = vec![address(Some("Terry Gray"), "gray", "cac.washington.edu")];
    let value = Envelope {
        date: octets("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)"),
        subject: octets("IMAP4rev1 WG mtg summary and minutes"),
        from: terry.clone(),
        sender: terry.clone(),
        reply_to: terry,
        to: vec![address(None, "imap", "cac.washington.edu")],
        cc: vec![
            address(None, "minutes", "CNRI.Reston.VA.US"),
            address(Some("John Klensin"), "KLENSIN", "MIT.EDU"),
        ],
        bcc: Vec::new(),
        in_reply_to: None,
        message_id: octets("<B27397-0100000@cac.washington.edu>"),
    };
    let terry = "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\"))";
    let expected = format!(
        "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" \
         {terry} {terry} {terry} ((NIL NIL \"imap\" \"cac.washington.edu\")) \
         ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) \
         NIL NIL \"<B27397-0100000@cac.washington.edu>\")"
    );
    assert_eq!(written(|out| envelope(out, &value)), expected);
}

fn part(media_type: &str, subtype: &str, octets: u64, lines: u64) -> Part {
    Part {
        media_type: media_type.into(),
        subtype: subtype.into(),
        encoding: "7BIT".into(),
        body: Span { start: 0, len: octets },
        lines,
        ..Part::default()
    }
}

#[test]
fn structures() {
    let mut text = part("TEXT", "PLAIN", 3028, 92);
    text.parameters = vec![("CHARSET".into(), "US-ASCII".into())];
    let plain = "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3028 92";
    assert_eq!(written(|out| body(out, &text)), format!("{plain})"));
    assert_eq!(written(|out| body_structure(out, &text)), format!("{plain} NIL NIL NIL NIL)"));
    let mut image = part("IMAGE", "GIF", 40, 0);
    image.disposition = Some(("attachment".into(), vec![("filename".into(), "a.gif".into())]));
    image.language = vec!["en".into(), "de".into()];
    let mut mixed = part("MULTIPART", "MIXED", 0, 0);
    mixed.parameters = vec![("BOUNDARY".into(), "b".into())];
    mixed.children = vec![text, image];
    let expected = format!(
        "({plain} NIL NIL NIL NIL)(\"IMAGE\" \"GIF\" NIL NIL NIL \"7BIT\" 40 NIL \
         (\"attachment\" (\"filename\" \"a.gif\")) (\"en\" \"de\") NIL) \"MIXED\" \
         (\"BOUNDARY\" \"b\") NIL NIL NIL)"
    );
    assert_eq!(written(|out| body_structure(out, &mixed)), expected);
}

#[test]
fn what_the_grammar_wants_and_the_message_lacks() {
    let empty = part("multipart", "mixed", 0, 0);
    let nothing = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)";
    assert_eq!(written(|out| body(out, &empty)), format!("({nothing} \"mixed\")"));
    let unread = part("message", "rfc822", 9, 1);
    let expected = format!(
        "(\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 9 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) {nothing} 1)"
    );
    assert_eq!(written(|out| body(out, &unread)), expected);
}

//! What does not read, and where it says so.

use super::*;

fn error(line: &str) -> CommandError {
    match command(line.as_bytes(), &Mode::default()) {
        Ok(tagged) => panic!("{line:?} reads as {tagged:?}"),
        Err(error) => error,
    }
}

/// The offending octet is marked with `!` before it.
#[test]
fn the_offending_octet_is_named() {
    let lines = [
        ("!\r\n", "a tag"),
        ("!+ NOOP\r\n", "a tag"),
        ("a!\r\n", "a space"),
        ("a !\r\n", "a command"),
        ("a NOOP! \r\n", "the end of the command"),
        ("a !NOOPx\r\n", "unknown command"),
        ("a LOGIN!\r\n", "a space"),
        ("a LOGIN !\r\n", "a user name"),
        ("a LOGIN x!\r\n", "a space"),
        ("a LOGIN \"x!\r\n", "a closing quote"),
        ("a LOGIN {3}!x\r\n", "the end of the command"),
        ("a LOGIN {30}\r\n!", "a whole literal"),
        ("a SELECT !()\r\n", "a mailbox name"),
        ("a SELECT !\"\"\r\n", "a mailbox name that is not empty"),
        ("a SELECT !&x\r\n", "a mailbox name in modified UTF-7"),
        ("a SELECT x (!FOO)\r\n", "CONDSTORE or QRESYNC"),
        ("a SELECT x (QRESYNC (!0 1))\r\n", "a number above 0"),
        ("a SELECT x (QRESYNC (1 !0))\r\n", "a mod-sequence above 0"),
        ("a SELECT x (QRESYNC (1 1 !1:*))\r\n", "a set without *"),
        ("a SELECT x (QRESYNC (1 1 1:5 !(1:2 5)))\r\n", "two rising sets of one length"),
        ("a SELECT x (QRESYNC (1 1 1:5 !(2,1 5,6)))\r\n", "two rising sets of one length"),
        ("a AUTHENTICATE PLAIN !a-b\r\n", "an initial response in base64, or ="),
        ("a FETCH !0 FLAGS\r\n", "a number above 0"),
        ("a FETCH 1:!x FLAGS\r\n", "a number or *"),
        ("a FETCH !4294967296 FLAGS\r\n", "a smaller number"),
        ("a FETCH 1 (!)\r\n", "a FETCH item"),
        ("a FETCH 1 !XYZ\r\n", "a FETCH item"),
        ("a FETCH 1 (FLAGS !ALL)\r\n", "a FETCH item"),
        ("a FETCH 1 BODY[!MIME]\r\n", "a section"),
        ("a FETCH 1 BODY[1.!]\r\n", "a section"),
        ("a FETCH 1 BODY[1.!0]\r\n", "a number above 0"),
        ("a FETCH 1 BODY[TEXT!\r\n", "]"),
        ("a FETCH 1 !FLAGS[TEXT]\r\n", "BODY[ or BODY.PEEK["),
        ("a FETCH 1 BODY[]<0.!0>\r\n", "a number above 0"),
        ("a FETCH 1 BODY[HEADER.FIELDS (!)]\r\n", "a header name"),
        ("a FETCH 1 FLAGS !(VANISHED)\r\n", "VANISHED with UID FETCH and CHANGEDSINCE only"),
        (
            "a FETCH 1 FLAGS !(CHANGEDSINCE 1 VANISHED)\r\n",
            "VANISHED with UID FETCH and CHANGEDSINCE only",
        ),
        ("a UID FETCH 1:* FLAGS (PARTIAL !0:1)\r\n", "a number above 0"),
        ("a UID FETCH 1:* FLAGS (PARTIAL -1:!2)\r\n", "-"),
        ("a UID FETCH 1:* FLAGS !(PARTIAL 1:2 PARTIAL 1:2)\r\n", "PARTIAL once"),
        ("a SEARCH RETURN (PARTIAL 1:!*) ALL\r\n", "a number"),
        ("a SEARCH RETURN (PARTIAL 1!) ALL\r\n", ":"),
        ("a SEARCH RETURN !(PARTIAL 1:2 ALL) ALL\r\n", "PARTIAL or ALL, not both"),
        ("a SEARCH RETURN !(PARTIAL 1:2 COUNT PARTIAL 1:2) ALL\r\n", "PARTIAL once"),
        ("a STORE 1 !XFLAGS x\r\n", "FLAGS or FLAGS.SILENT"),
        ("a STORE 1 +FLAGS (!\\Recent)\r\n", "a flag that can be set"),
        ("a SEARCH !FOO\r\n", "a search key"),
        ("a SEARCH SINCE 1-!Foo-1994\r\n", "a date such as 1-Feb-1994"),
        ("a SEARCH SINCE 30-Feb-1994!\r\n", "a day of the calendar"),
        ("a SEARCH OR ALL!\r\n", "a space"),
        ("a SEARCH RETURN (!SAVED) ALL\r\n", "a return option of SEARCH"),
        ("a SEARCH FUZZY!\r\n", "a space"),
        ("a SEARCH FUZZY !FOO\r\n", "a search key"),
        ("a SEARCH $!1\r\n", "the end of the command"),
        ("a FETCH $!,1 FLAGS\r\n", "a space"),
        ("a FETCH 1,$!,2 FLAGS\r\n", "a space"),
        ("a FETCH 1:!$ FLAGS\r\n", "a number or *"),
        ("a SELECT x (QRESYNC (1 1 !$))\r\n", "a number or *"),
        ("a SORT !DATE UTF-8 ALL\r\n", "("),
        ("a SORT (!) UTF-8 ALL\r\n", "a sort criterion"),
        ("a SORT (DATE !FOO) UTF-8 ALL\r\n", "a sort criterion"),
        ("a SORT (REVERSE !REVERSE DATE) UTF-8 ALL\r\n", "a sort criterion"),
        ("a SORT (REVERSE!) UTF-8 ALL\r\n", "a space"),
        ("a SORT (DATE) UTF-8!\r\n", "a space"),
        ("a SORT (DATE) !KLINGON ALL\r\n", "unknown charset"),
        ("a SORT RETURN (!FOO) (DATE) UTF-8 ALL\r\n", "a return option of SEARCH"),
        ("a THREAD !REFS UTF-8 ALL\r\n", "a threading algorithm"),
        ("a THREAD !(REFERENCES) UTF-8 ALL\r\n", "a threading algorithm"),
        ("a THREAD REFERENCES \"!\r\n", "a closing quote"),
        ("a SEARCH CHARSET !KLINGON ALL\r\n", "unknown charset"),
        ("a SEARCH CHARSET !REPLACEMENT ALL\r\n", "unknown charset"),
        ("a SEARCH MODSEQ \"x\" !foo 1\r\n", "all, priv or shared"),
        ("a LIST (!FOO) \"\" *\r\n", "a selection option of LIST"),
        ("a LIST !(RECURSIVEMATCH) \"\" *\r\n", "RECURSIVEMATCH with SUBSCRIBED"),
        ("a LIST \"\" * RETURN (!STATUS)\r\n", "a return option of LIST"),
        ("a LIST \"\" (!)\r\n", "a mailbox pattern"),
        ("a STATUS x (!)\r\n", "an atom"),
        ("a STATUS x (!FOO)\r\n", "a status item"),
        ("a UID !NOOP\r\n", "unknown command"),
        ("a APPEND x!\r\n", "a space"),
        ("a APPEND x \"1-Feb-1994!\" {5}\r\n", "a date and time"),
        ("a APPEND x !y\r\n", "a literal"),
        ("a ID (!x y)\r\n", "a string"),
        ("a ENABLE !\r\n", "a capability"),
    ];
    let mut wrong = Vec::new();
    for (line, what) in lines {
        let (before, after) = line.split_once('!').unwrap();
        let error = error(&format!("{before}{after}"));
        if error.position != before.len() || !error.kind.to_string().contains(what) {
            wrong.push(format!("{line:?}: {error}, not {what} at {}", before.len()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_tag_is_kept_for_the_answer() {
    assert_eq!(error("a1 FOO\r\n").tag, Tag::new("a1"));
    assert_eq!(error("a1\r\n").tag, None);
    assert_eq!(error("FOO\r\n").to_string(), "expected a space at octet 3");
    assert_eq!(
        error("a1 FETCH 1 (FLAGS XYZ)\r\n").to_string(),
        "expected a FETCH item at octet 18"
    );
}

#[test]
fn limits_are_named() {
    let named = |line: String| match error(&line).kind {
        ErrorKind::Limit(name, most) => (name, most),
        other => panic!("{other}"),
    };
    let limits = Limits::default();
    let many = |item: &str, by: &str, count: usize| vec![item; count].join(by);
    let cases = [
        (format!("{} NOOP\r\n", "a".repeat(limits.tag + 1)), "octets in a tag", limits.tag),
        (
            format!("a FETCH {} FLAGS\r\n", many("1", ",", limits.ranges + 1)),
            "ranges in a set",
            limits.ranges,
        ),
        (
            format!("a FETCH 1 ({})\r\n", many("FLAGS", " ", limits.items + 1)),
            "items",
            limits.items,
        ),
        (
            format!("a STORE 1 FLAGS {}\r\n", many("x", " ", limits.items + 1)),
            "flags",
            limits.items,
        ),
        (
            format!("a FETCH 1 BODY[{}]\r\n", many("1", ".", limits.items + 1)),
            "part numbers",
            limits.items - 1,
        ),
        (format!("a SEARCH {}\r\n", many("ALL", " ", limits.keys + 1)), "search keys", limits.keys),
        (
            format!("a SEARCH {}ALL\r\n", "NOT ".repeat(limits.nesting)),
            "nested search keys",
            limits.nesting,
        ),
        (
            format!("a SEARCH {}ALL\r\n", "(".repeat(limits.nesting)),
            "nested search keys",
            limits.nesting,
        ),
        (format!("a SEARCH {}ALL\r\n", "OR ".repeat(40_000)), "nested search keys", limits.nesting),
    ];
    for (line, name, most) in cases {
        assert_eq!(named(line), (name, most));
    }
    // At the limit it still reads.
    read(&format!("{} NOOP\r\n", "a".repeat(limits.tag)));
    read(&format!("a FETCH {} FLAGS\r\n", many("1", ",", limits.ranges)));
    read(&format!("a STORE 1 FLAGS {}\r\n", many("x", " ", limits.items)));
    read(&format!("a SEARCH {}\r\n", many("ALL", " ", limits.keys)));
    read(&format!("a SEARCH {}ALL\r\n", "NOT ".repeat(limits.nesting - 1)));
}

#[test]
fn nul_is_in_no_string() {
    let refused = command(b"a LOGIN {3}\r\na\0b x\r\n", &Mode::default()).unwrap_err();
    assert_eq!(refused.position, 14);
    assert!(command(b"a LOGIN \"a\0b\" x\r\n", &Mode::default()).is_err());
    assert!(command(b"a LOGIN a\0b x\r\n", &Mode::default()).is_err());
}

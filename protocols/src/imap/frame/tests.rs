#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::imap::limits::Limits;

/// What a session that takes (or refuses) every literal sees of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Command(String),
    Continue(u64),
    Append(String, u64),
    Message(String),
    Rest(String, Option<u64>),
    Refused(Option<String>, FrameError, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Take,
    RefuseMessages,
    RefuseEverything,
}

struct Session {
    framer: Framer,
    policy: Policy,
    input: BytesMut,
    message: Vec<u8>,
    in_message: bool,
    seen: Vec<Seen>,
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

impl Session {
    fn new(limits: Limits, policy: Policy) -> Self {
        Self {
            framer: Framer::new(limits),
            policy,
            input: BytesMut::new(),
            message: Vec::new(),
            in_message: false,
            seen: Vec::new(),
        }
    }

    fn feed(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
        loop {
            while let Some(octets) = self.framer.literal_bytes(&mut self.input) {
                self.message.extend_from_slice(&octets);
            }
            if self.in_message && self.framer.literal_left() == 0 {
                self.in_message = false;
                self.seen.push(Seen::Message(text(&std::mem::take(&mut self.message))));
            }
            let Some(frame) = self.framer.next(&mut self.input) else { return };
            self.see(frame);
        }
    }

    fn see(&mut self, frame: Frame) {
        let seen = match frame {
            Frame::Command(command) => Seen::Command(text(&command)),
            Frame::Continue { size } => {
                if self.policy == Policy::RefuseEverything {
                    self.framer.refuse_literal(&mut self.input);
                }
                Seen::Continue(size)
            }
            Frame::Append { head, literal } => {
                self.decide();
                Seen::Append(text(&head), literal.size)
            }
            Frame::AppendRest { head, literal } => {
                if literal.is_some() {
                    self.decide();
                }
                Seen::Rest(text(&head), literal.map(|literal| literal.size))
            }
            Frame::Refused(Refused { tag, error, close }) => {
                Seen::Refused(tag.map(|tag| tag.to_string()), error, close)
            }
        };
        self.seen.push(seen);
    }

    fn decide(&mut self) {
        self.in_message = self.policy == Policy::Take;
        match self.policy {
            Policy::Take => self.framer.accept_literal(),
            _ => self.framer.refuse_literal(&mut self.input),
        }
    }
}

fn whole(stream: &[u8], limits: Limits, policy: Policy) -> Vec<Seen> {
    let mut session = Session::new(limits, policy);
    session.feed(stream);
    session.seen
}

fn in_pieces(stream: &[u8], size: usize, limits: Limits, policy: Policy) -> Vec<Seen> {
    let mut session = Session::new(limits, policy);
    stream.chunks(size).for_each(|piece| session.feed(piece));
    session.seen
}

fn take(stream: &str) -> Vec<Seen> {
    whole(stream.as_bytes(), Limits::default(), Policy::Take)
}

fn small() -> Limits {
    Limits {
        tag: 8,
        line: 40,
        literal: 10,
        literals: 3,
        literal_total: 16,
        skip: 200,
        ..Limits::default()
    }
}

fn command(text: &str) -> Seen {
    Seen::Command(text.to_owned())
}

#[test]
fn commands_are_cut_at_their_line_ends() {
    let stream = "a1 NOOP\r\na2 CAPABILITY\na3 LO";
    assert_eq!(take(stream), [command("a1 NOOP\r\n"), command("a2 CAPABILITY\n")]);
}

#[test]
fn a_synchronizing_literal_is_asked_for_and_stays_in_the_command() {
    let seen = take("a1 LOGIN {5}\r\nalice {3}\r\n\"\r\n\r\na2 NOOP\r\n");
    let login = "a1 LOGIN {5}\r\nalice {3}\r\n\"\r\n\r\n";
    assert_eq!(
        seen,
        [Seen::Continue(5), Seen::Continue(3), command(login), command("a2 NOOP\r\n")]
    );
}

#[test]
fn a_literal_that_comes_unasked_is_not_asked_for() {
    let login = "a1 LOGIN {5+}\r\nalice {0+}\r\n\r\n";
    assert_eq!(take(login), [command(login)]);
}

#[test]
fn lines_that_only_look_like_literals_are_whole_commands() {
    for line in ["a1 X {}\r\n", "a1 X {5\r\n", "a1 X {5-}\r\n", "a1 X {+}\r\n", "a1 X {5}x\r\n"] {
        assert_eq!(take(line), [command(line)]);
    }
    let digits = format!("a1 X {{{}}}\r\n", "0".repeat(21));
    assert_eq!(take(&digits), [command(&digits)]);
}

#[test]
fn the_message_of_append_is_not_held() {
    let seen = take("a1 APPEND {5}\r\nDraft (\\Seen) {7}\r\nabc\r\nde\r\na2 NOOP\r\n");
    let expected = [
        Seen::Continue(5),
        Seen::Append("a1 APPEND {5}\r\nDraft (\\Seen) {7}\r\n".into(), 7),
        Seen::Message("abc\r\nde".into()),
        Seen::Rest("\r\n".into(), None),
        command("a2 NOOP\r\n"),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn more_messages_may_follow_the_first() {
    let seen = take("a1 append x {3+}\r\nabc (\\Seen) {0+}\r\n\r\na2 NOOP\r\n");
    let expected = [
        Seen::Append("a1 append x {3+}\r\n".into(), 3),
        Seen::Message("abc".into()),
        Seen::Rest(" (\\Seen) {0+}\r\n".into(), Some(0)),
        Seen::Message(String::new()),
        Seen::Rest("\r\n".into(), None),
        command("a2 NOOP\r\n"),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_refused_message_is_skipped_if_it_comes_all_the_same() {
    let after = "a2 NOOP\r\n";
    for (stream, size) in [
        ("a1 APPEND x {9}\r\n", 9),
        ("a1 APPEND x {9+}\r\na3 NOOP\r\n\r\n", 9),
        ("a1 APPEND x {4+}\r\nabcd (\\Seen) {9+}\r\na3 NOOP\r\n (\\Draft) {9}\r\n", 4),
    ] {
        let head = stream.split_inclusive('\n').next().unwrap().to_owned();
        let seen =
            whole(format!("{stream}{after}").as_bytes(), Limits::default(), Policy::RefuseMessages);
        assert_eq!(seen, [Seen::Append(head, size), command(after)], "{stream}");
    }
}

#[test]
fn a_message_can_be_refused_in_its_middle() {
    let mut session = Session::new(Limits::default(), Policy::Take);
    session.feed(b"a1 APPEND x {20+}\r\n0123456789");
    session.framer.refuse_literal(&mut session.input);
    session.in_message = false;
    session.feed(b"0123456789\r\na2 NOOP\r\n");
    assert_eq!(session.seen.last(), Some(&command("a2 NOOP\r\n")));
    assert_eq!(session.seen.len(), 2);
}

#[test]
fn a_literal_that_is_not_wanted_ends_its_command() {
    let stream = b"a1 LOGIN {5}\r\na2 NOOP\r\n";
    let seen = whole(stream, Limits::default(), Policy::RefuseEverything);
    assert_eq!(seen, [Seen::Continue(5), command("a2 NOOP\r\n")]);
}

#[test]
fn a_line_too_long_is_skipped_to_its_end() {
    let long = "x".repeat(100);
    let stream = format!("a1 {long}\r\na2 NOOP\r\n");
    let refused = Seen::Refused(Some("a1".into()), FrameError::Line { limit: 40 }, false);
    assert_eq!(
        whole(stream.as_bytes(), small(), Policy::Take),
        [refused.clone(), command("a2 NOOP\r\n")]
    );
    // Its literals too, those that come unasked.
    let stream = format!("a1 {long} {{11+}}\r\na3 NOOP\r\nxx {{5}}\r\na2 NOOP\r\n");
    assert_eq!(whole(stream.as_bytes(), small(), Policy::Take), [refused, command("a2 NOOP\r\n")]);
    let untagged = format!("{long}\r\n");
    assert_eq!(
        whole(untagged.as_bytes(), small(), Policy::Take),
        [Seen::Refused(None, FrameError::Line { limit: 40 }, false)]
    );
}

#[test]
fn a_literal_too_large_is_refused_or_skipped() {
    let error = FrameError::Literal { size: 11, limit: 10 };
    let refused = [Seen::Refused(Some("a1".into()), error, false), command("a2 NOOP\r\n")];
    for stream in [
        "a1 LOGIN {11}\r\na2 NOOP\r\n",
        "a1 LOGIN {11+}\r\na3 NOOP\r\nx x\r\na2 NOOP\r\n",
        "a1 LOGIN {11+}\r\na3 NOOP\r\nx {2+}\r\n\r\n x\r\na2 NOOP\r\n",
    ] {
        assert_eq!(whole(stream.as_bytes(), small(), Policy::Take), refused, "{stream}");
    }
}

#[test]
fn literals_are_counted_and_added_up() {
    let stream = "a1 X {1+}\r\na {1+}\r\na {1+}\r\na {1+}\r\na\r\na2 NOOP\r\n";
    let refused = Seen::Refused(Some("a1".into()), FrameError::Literals { limit: 3 }, false);
    assert_eq!(whole(stream.as_bytes(), small(), Policy::Take), [refused, command("a2 NOOP\r\n")]);
    let stream = "a1 X {9+}\r\n123456789 {8}\r\na2 NOOP\r\n";
    let error = FrameError::Literal { size: 8, limit: 7 };
    assert_eq!(
        whole(stream.as_bytes(), small(), Policy::Take),
        [Seen::Refused(Some("a1".into()), error, false), command("a2 NOOP\r\n")]
    );
}

#[test]
fn what_is_too_large_to_skip_closes_the_connection() {
    let error = |size| FrameError::Literal { size, limit: 10 };
    let endless = u64::MAX;
    for (stream, size) in [
        ("a1 LOGIN {201+}\r\nx".to_owned(), 201),
        (format!("a1 LOGIN {{{endless}+}}\r\nx"), endless),
        ("a1 LOGIN {99999999999999999999+}\r\nx".to_owned(), endless),
    ] {
        let expected = [Seen::Refused(Some("a1".into()), error(size), true)];
        assert_eq!(whole(stream.as_bytes(), small(), Policy::Take), expected);
    }
    let append = whole(b"a1 APPEND x {201+}\r\nabc", small(), Policy::RefuseMessages);
    assert_eq!(append.last(), Some(&Seen::Refused(None, FrameError::Skip { limit: 200 }, true)));
    let line = "a1 ".to_owned() + &"x".repeat(300);
    let expected = [Seen::Refused(Some("a1".into()), FrameError::Line { limit: 40 }, true)];
    assert_eq!(whole(line.as_bytes(), small(), Policy::Take), expected);
}

#[test]
fn lines_that_are_no_commands_are_cut_and_bounded() {
    let mut framer = Framer::new(Limits { response: 8, ..Limits::default() });
    let mut input = BytesMut::from(&b"DONE\r\n\nabc"[..]);
    let mut next =
        |input: &mut BytesMut| framer.next_line(input).map(|line| line.map(|l| text(&l)));
    assert_eq!(next(&mut input), Some(Ok("DONE".into())));
    assert_eq!(next(&mut input), Some(Ok(String::new())));
    assert_eq!(next(&mut input), None);
    input.extend_from_slice(b"defghijk");
    assert_eq!(next(&mut input), Some(Err(FrameError::Response { limit: 8 })));
}

#[test]
fn what_was_sent_before_tls_is_forgotten() {
    let mut framer = Framer::new(Limits::default());
    let mut input = BytesMut::from(&b"a1 LOGIN {5+}\r\nal"[..]);
    assert_eq!(framer.next(&mut input), None);
    assert_eq!(framer.discard(&mut input), 17);
    input.extend_from_slice(b"a2 NOOP\r\n");
    assert!(
        matches!(framer.next(&mut input), Some(Frame::Command(command)) if command == "a2 NOOP\r\n")
    );
}

/// Pieces that streams are made of; what matters to framing is likely.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("\r\n".to_owned()),
        Just("\n".to_owned()),
        Just("a1 APPEND x ".to_owned()),
        Just("a2 LOGIN ".to_owned()),
        Just("a3 NOOP\r\n".to_owned()),
        (0..14_u64, any::<bool>()).prop_map(|(size, plus)| {
            let fill: String = "ab\r\n{1+}\r\n cd".chars().take(size as usize).collect();
            format!("{{{size}{}}}\r\n{fill}", if plus { "+" } else { "" })
        }),
        "[a{}+0-9 ~\"]{0,30}",
        Just("{250+}\r\n".to_owned()),
        Just("{".to_owned()),
        Just("5+}".to_owned()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn pieces_give_what_the_whole_gives(
        stream in stream(),
        size in 1..9_usize,
        policy in prop_oneof![Just(Policy::Take), Just(Policy::RefuseMessages)],
    ) {
        let expected = whole(&stream, small(), policy);
        prop_assert_eq!(in_pieces(&stream, size, small(), policy), expected);
    }

    #[test]
    fn what_is_held_is_bounded(stream in stream(), noise in any::<Vec<u8>>(), size in 1..9_usize) {
        let mut session = Session::new(small(), Policy::Take);
        for piece in stream.iter().chain(&noise).copied().collect::<Vec<u8>>().chunks(size) {
            session.feed(piece);
            prop_assert!(session.input.len() <= 40 + 16 + size);
        }
    }

    #[test]
    fn a_command_is_found_behind_any_commands(stream in stream()) {
        // Whatever was said, enough line ends finish it, unless the connection closes.
        let mut session = Session::new(small(), Policy::Take);
        session.feed(&stream);
        session.feed("\r\n".repeat(200).as_bytes());
        session.feed(b"z9 NOOP\r\n");
        let closed = matches!(session.seen.iter().rfind(|seen| matches!(seen, Seen::Refused(..))),
            Some(Seen::Refused(_, _, true)));
        prop_assert!(closed || session.seen.last() == Some(&command("z9 NOOP\r\n")));
    }
}

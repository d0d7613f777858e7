//! Address lists of a header as ENVELOPE shows them (RFC 5322 section 3.4,
//! obsolete forms of section 4.4; RFC 9051 section 7.5.2).

use super::EnvelopeAddress;
use super::lexer::{Lexer, Token};

/// Reads an address list. Raw octets: nothing of RFC 2047 is decoded. At most
/// `limit` entries (a group's begin and end count) are read.
///
/// What is no address is kept where a reader can see it: text without `@` is a
/// `mailbox` with an empty `host` (a `None` host would begin a group).
pub fn addresses(value: &[u8], limit: usize) -> Vec<EnvelopeAddress> {
    let mut list = List { limit, ..List::default() };
    for token in Lexer::addresses(value) {
        if list.done.len() >= limit {
            break;
        }
        list.token(token);
    }
    list.finish();
    list.done
}

#[derive(Default)]
struct List {
    limit: usize,
    done: Vec<EnvelopeAddress>,
    in_group: bool,
    one: One,
}

/// The address being read.
#[derive(Default)]
struct One {
    words: Vec<Word>,
    comment: Option<Vec<u8>>,
    angle: Option<Vec<Word>>,
    in_angle: bool,
    /// In `<@a,@b` before the colon, where a comma does not end the address.
    in_route: bool,
    /// An `@` outside of angle brackets was read.
    at: bool,
}

/// A word, or a special that has to be seen again (`@`, `:`, `,` of a route).
enum Word {
    Text(Vec<u8>),
    Special(u8),
}

impl Word {
    fn is(&self, special: u8) -> bool {
        matches!(self, Word::Special(c) if *c == special)
    }
    fn octets(&self) -> &[u8] {
        match self {
            Word::Text(text) => text,
            Word::Special(c) => std::slice::from_ref(c),
        }
    }
}

impl List {
    fn token(&mut self, token: Token) {
        match token {
            Token::Text(text) | Token::Quoted(text) => self.one.push(Word::Text(text)),
            Token::Comment(text) => self.one.comment = Some(text),
            Token::Special(special) => self.special(special),
        }
    }

    fn special(&mut self, special: u8) {
        match special {
            b'<' if self.one.angle.is_none() => self.one.open(),
            b'>' => self.one.close(),
            b',' if !self.one.in_route => self.flush(),
            b';' if !self.one.in_angle => self.end_group(),
            b':' if !self.one.in_angle && self.begins_group() => self.begin_group(),
            b'<' => {}
            other => self.one.push(Word::Special(other)),
        }
    }

    fn begins_group(&self) -> bool {
        let named = !self.one.words.is_empty() && self.one.angle.is_none();
        !self.in_group && named && !self.one.at
    }

    fn begin_group(&mut self) {
        let words = std::mem::take(&mut self.one).words;
        self.done.push(EnvelopeAddress { mailbox: Some(phrase(&words)), ..Default::default() });
        self.in_group = true;
    }

    fn end_group(&mut self) {
        self.flush();
        if std::mem::take(&mut self.in_group) {
            self.done.push(EnvelopeAddress::default());
        }
    }

    fn flush(&mut self) {
        if self.done.len() < self.limit {
            self.done.extend(std::mem::take(&mut self.one).address());
        }
    }

    fn finish(&mut self) {
        self.end_group();
    }
}

impl One {
    fn open(&mut self) {
        self.angle = Some(Vec::new());
        self.in_angle = true;
    }

    fn push(&mut self, word: Word) {
        match &mut self.angle {
            Some(inside) if self.in_angle => {
                self.in_route |= inside.is_empty() && word.is(b'@');
                self.in_route &= !word.is(b':');
                inside.push(word);
            }
            // Behind the `>` only a comment means something.
            Some(_) => {}
            None => {
                self.at |= word.is(b'@');
                self.words.push(word);
            }
        }
    }

    fn close(&mut self) {
        self.in_angle = false;
        self.in_route = false;
    }

    fn address(self) -> Option<EnvelopeAddress> {
        let name = (!self.words.is_empty()).then(|| phrase(&self.words));
        match self.angle {
            Some(inside) => {
                let (adl, spec) = split_route(&inside);
                let (mailbox, host) = split_spec(spec);
                Some(EnvelopeAddress { name: name.or(self.comment), adl, mailbox, host })
            }
            None if self.words.is_empty() => None,
            None if self.at => {
                let (mailbox, host) = split_spec(&self.words);
                Some(EnvelopeAddress { name: self.comment, adl: None, mailbox, host })
            }
            None => Some(EnvelopeAddress {
                name: self.comment,
                adl: None,
                mailbox: name,
                host: Some(Vec::new()),
            }),
        }
    }
}

/// RFC 5322 section 4.4: `<@a,@b:user@host>` has the route `@a,@b`.
fn split_route(words: &[Word]) -> (Option<Vec<u8>>, &[Word]) {
    let colon = words.iter().position(|w| w.is(b':'));
    match colon.and_then(|at| words.split_at_checked(at)) {
        Some((route, spec)) if words.first().is_some_and(|w| w.is(b'@')) => {
            (Some(joined(route)), spec.get(1..).unwrap_or_default())
        }
        _ => (None, words),
    }
}

fn split_spec(words: &[Word]) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let at = words.iter().rposition(|w| w.is(b'@')).unwrap_or(words.len());
    let (local, domain) = words.split_at_checked(at).unwrap_or((words, &[]));
    (Some(joined(local)), Some(joined(domain.get(1..).unwrap_or_default())))
}

fn joined(words: &[Word]) -> Vec<u8> {
    words.iter().flat_map(|w| w.octets()).copied().collect()
}

fn phrase(words: &[Word]) -> Vec<u8> {
    words.iter().map(Word::octets).collect::<Vec<_>>().join(&b' ')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    /// `name|adl|mailbox|host`, `-` for NIL.
    fn shown(value: &str) -> Vec<String> {
        let text = |field: &Option<Vec<u8>>| match field {
            Some(octets) => String::from_utf8_lossy(octets).into_owned(),
            None => "-".to_owned(),
        };
        let line = |a: &EnvelopeAddress| [&a.name, &a.adl, &a.mailbox, &a.host].map(text).join("|");
        addresses(value.as_bytes(), 100).iter().map(line).collect()
    }

    #[test]
    fn the_examples_of_rfc_5322() {
        for (value, expected) in [
            ("John Doe <jdoe@machine.example>", vec!["John Doe|-|jdoe|machine.example"]),
            (
                "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
                vec!["Mary Smith|-|mary|x.test", "-|-|jdoe|example.org", "Who?|-|one|y.test"],
            ),
            (
                "\"Joe Q. Public\" <john.q.public@example.com>",
                vec!["Joe Q. Public|-|john.q.public|example.com"],
            ),
            (
                "<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>",
                vec!["-|-|boss|nil.test", "Giant; \"Big\" Box|-|sysservices|example.net"],
            ),
            (
                "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
                vec![
                    "-|-|A Group|-",
                    "Ed Jones|-|c|a.test",
                    "-|-|joe|where.test",
                    "John|-|jdoe|one.test",
                    "-|-|-|-",
                ],
            ),
            ("Undisclosed recipients:;", vec!["-|-|Undisclosed recipients|-", "-|-|-|-"]),
            (
                "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
                vec!["Pete|-|pete|silly.test"],
            ),
            (
                "A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n         joe@example.org,\r\n  John <jdoe@one.test> (my dear friend); (the end of the group)",
                vec![
                    "-|-|A Group|-",
                    "Chris Jones|-|c|public.example",
                    "-|-|joe|example.org",
                    "John|-|jdoe|one.test",
                    "-|-|-|-",
                ],
            ),
            (
                "Joe Q. Public <john . q . public@example . com>",
                vec!["Joe Q. Public|-|john.q.public|example.com"],
            ),
            (
                "Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
                vec!["Mary Smith|@node.test|mary|example.net", "-|-|jdoe|test.example"],
            ),
            ("<@a.test,@b.test:c@d.test>", vec!["-|@a.test,@b.test|c|d.test"]),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_not_by_the_rfc_is_still_shown() {
        for (value, expected) in [
            ("", vec![]),
            (" ,, ;", vec![]),
            ("fred@x.test (Fred Foobar)", vec!["Fred Foobar|-|fred|x.test"]),
            ("plain", vec!["-|-|plain|"]),
            ("Foo Bar", vec!["-|-|Foo Bar|"]),
            ("Foo <>", vec!["Foo|-||"]),
            ("Foo <a@b", vec!["Foo|-|a|b"]),
            ("\"open <a@b", vec!["-|-|open <a@b|"]),
            ("\"john smith\"@x.test", vec!["-|-|john smith|x.test"]),
            ("a@[192.0.2.1], b@[IPv6:::1]", vec!["-|-|a|[192.0.2.1]", "-|-|b|[IPv6:::1]"]),
            ("list: a@b", vec!["-|-|list|-", "-|-|a|b", "-|-|-|-"]),
            ("a: b: c;", vec!["-|-|a|-", "-|-|b : c|", "-|-|-|-"]),
            ("=?utf-8?Q?J=C3=B6rg?= <j@x>", vec!["=?utf-8?Q?J=C3=B6rg?=|-|j|x"]),
            ("Jörg <j@x>", vec!["Jörg|-|j|x"]),
            ("a@b@c", vec!["-|-|a@b|c"]),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        assert!(addresses("a@b,".repeat(1000).as_bytes(), 7).len() <= 8);
    }
}

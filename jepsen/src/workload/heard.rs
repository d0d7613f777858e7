//! From IMAP's responses to what the history keeps of them.

use redoubt_tests::values::{Value, values};

use super::messages;
use super::values::{numbers, ranges};
use crate::history::{Content, Fetched, Heard, Numbers};

/// What an untagged response tells, without `* `; nothing of what is not kept.
pub fn untagged(line: &[u8]) -> Vec<Heard> {
    let text = String::from_utf8_lossy(line);
    if let Some(bye) = text.strip_prefix("BYE") {
        return vec![Heard::Bye(bye.trim().into())];
    }
    if ["OK", "NO", "BAD"].iter().any(|word| text.starts_with(word)) {
        return code(&text).into_iter().collect();
    }
    let Some(values) = values(line) else { return vec![nonsense(line)] };
    let words: Vec<Option<String>> = values.iter().map(Value::as_text).collect();
    let word = |at: usize| words.get(at).cloned().flatten().unwrap_or_default();
    let read = match (word(0).as_str(), word(1).as_str()) {
        (number, "EXISTS") => number.parse().ok().map(Heard::Exists),
        (number, "EXPUNGE") => number.parse().ok().map(Heard::Expunge),
        (number, "FETCH") => number.parse().ok().and_then(|number| fetch(number, &values)),
        ("VANISHED", _) => vanished(&values),
        ("LIST", _) => listed(&values),
        ("STATUS", _) => status(&values),
        (_, "RECENT") | ("FLAGS" | "CAPABILITY" | "ENABLED" | "SEARCH", _) => return Vec::new(),
        _ => None,
    };
    vec![read.unwrap_or_else(|| nonsense(line))]
}

fn nonsense(line: &[u8]) -> Heard {
    Heard::Nonsense(String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned())
}

/// The response code of a line that begins with OK, NO or BAD.
pub fn code(line: &str) -> Option<Heard> {
    let inner = line.split_once(" [")?.1.split_once(']')?.0;
    let words: Vec<&str> = inner.split(' ').collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok());
    let heard = match *words.first()? {
        "UIDVALIDITY" => number(1).map(Heard::Validity),
        "UIDNEXT" => number(1).map(Heard::Next),
        "HIGHESTMODSEQ" => words.get(1).and_then(|word| word.parse().ok()).map(Heard::Highest),
        "MAILBOXID" => words.get(1).map(|id| Heard::Id(id.trim_matches(['(', ')']).into())),
        "APPENDUID" => {
            number(1).zip(number(2)).map(|(validity, uid)| Heard::Appended(validity, uid))
        }
        "COPYUID" => copied(&words),
        "MODIFIED" => words.get(1).and_then(|set| numbers(set)).map(Heard::Modified),
        _ => return None,
    };
    Some(heard.unwrap_or_else(|| Heard::Nonsense(line.into())))
}

fn copied(words: &[&str]) -> Option<Heard> {
    let (from, to) = (numbers(words.get(2)?)?, numbers(words.get(3)?)?);
    (from.len() == to.len()).then_some(Heard::Copied(words.get(1)?.parse().ok()?, from, to))
}

fn vanished(values: &[Value]) -> Option<Heard> {
    let earlier = values.get(1)?.as_list().is_some();
    let uids = ranges(&values.get(1 + usize::from(earlier))?.as_text()?)?;
    Some(Heard::Vanished { earlier, uids })
}

fn listed(values: &[Value]) -> Option<Heard> {
    let attributes = values.get(1)?.as_list()?;
    let select = attributes.iter().all(|attribute| {
        !matches!(
            attribute.as_text().as_deref(),
            Some("\\NoSelect" | "\\Noselect" | "\\NonExistent")
        )
    });
    Some(Heard::Listed(values.get(3)?.as_text()?, select))
}

fn status(values: &[Value]) -> Option<Heard> {
    let mut status = Numbers::default();
    for pair in values.get(2)?.as_list()?.chunks(2) {
        let value = pair.get(1)?;
        match pair[0].as_text()?.as_str() {
            "MESSAGES" => status.messages = value.as_number()?,
            "UIDNEXT" => status.next = value.as_number()?,
            "UIDVALIDITY" => status.validity = value.as_number()?,
            "HIGHESTMODSEQ" => status.highest = value.as_number()?,
            "MAILBOXID" => status.id = value.as_list()?.first()?.as_text()?,
            _ => {}
        }
    }
    Some(Heard::Status(values.get(1)?.as_text()?, status))
}

fn fetch(number: u32, values: &[Value]) -> Option<Heard> {
    let mut fetched = Fetched { number, ..Fetched::default() };
    for pair in values.get(2)?.as_list()?.chunks(2) {
        let value = pair.get(1)?;
        match pair[0].as_text()?.as_str() {
            "UID" => fetched.uid = Some(value.as_number()?),
            "FLAGS" => fetched.flags = Some(flags(value)?),
            "MODSEQ" => fetched.modseq = Some(value.as_list()?.first()?.as_number()?),
            "EMAILID" => fetched.email = Some(value.as_list()?.first()?.as_text()?),
            "BODY[]" => fetched.content = Some(content(value)?),
            _ => {}
        }
    }
    Some(Heard::Fetch(fetched))
}

fn flags(value: &Value) -> Option<Vec<String>> {
    let flags = value.as_list()?.iter().map(Value::as_text).collect::<Option<Vec<String>>>()?;
    let mut flags: Vec<String> = flags.into_iter().filter(|flag| flag != "\\Recent").collect();
    flags.sort();
    Some(flags)
}

fn content(value: &Value) -> Option<Content> {
    let Value::Text(octets) = value else { return None };
    let sent = redoubt_tests::messages::without_trace(octets);
    let whole = messages::hash(octets);
    Some(Content { token: messages::token(sent), hash: messages::hash(sent), whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Heard {
        let mut heard = untagged(line.as_bytes());
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard.remove(0)
    }

    #[test]
    fn responses_are_kept() {
        assert_eq!(one("7 EXISTS"), Heard::Exists(7));
        assert_eq!(one("7 EXPUNGE"), Heard::Expunge(7));
        assert_eq!(
            one("VANISHED (EARLIER) 3:5,9"),
            Heard::Vanished { earlier: true, uids: vec![(3, 5), (9, 9)] }
        );
        assert_eq!(one("VANISHED 4"), Heard::Vanished { earlier: false, uids: vec![(4, 4)] });
        assert_eq!(one("OK [HIGHESTMODSEQ 12] high"), Heard::Highest(12));
        assert_eq!(one("LIST (\\HasNoChildren) \"/\" e1-a"), Heard::Listed("e1-a".into(), true));
        assert_eq!(one("LIST (\\NoSelect) \"/\" \"x y\""), Heard::Listed("x y".into(), false));
        assert_eq!(untagged(b"2 RECENT"), []);
        assert!(matches!(one("EXISTS 3"), Heard::Nonsense(_)));
        assert!(matches!(one("3 FETCH (UID 1"), Heard::Nonsense(_)));
    }

    #[test]
    fn fetch_is_kept() {
        let line = "3 FETCH (UID 7 FLAGS (\\Seen \\Recent Blue) MODSEQ (9) EMAILID (e1f-0))";
        let Heard::Fetch(fetched) = one(line) else { panic!() };
        assert_eq!((fetched.number, fetched.uid, fetched.modseq), (3, Some(7), Some(9)));
        assert_eq!(fetched.flags.unwrap(), ["Blue", "\\Seen"]);
        assert_eq!(fetched.email.unwrap(), "e1f-0");
    }

    #[test]
    fn codes_are_kept() {
        assert_eq!(code("OK [APPENDUID 5 9] done"), Some(Heard::Appended(5, 9)));
        let copied = Heard::Copied(5, vec![1, 2], vec![8, 9]);
        assert_eq!(code("OK [COPYUID 5 1:2 8:9] done"), Some(copied));
        assert_eq!(code("OK [MODIFIED 3] done"), Some(Heard::Modified(vec![3])));
        assert_eq!(code("OK [MAILBOXID (m7)] done"), Some(Heard::Id("m7".into())));
        assert_eq!(code("OK done"), None);
        assert!(matches!(code("OK [COPYUID 5 1 8:9] x"), Some(Heard::Nonsense(_))));
    }
}

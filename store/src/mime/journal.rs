//! Journal reports as Exchange makes them: a multipart/mixed of a text that tells the envelope,
//! line by line, and of the original as message/rfc822 ([MS-OXOJRNL], "Journal report").

use std::borrow::Cow;

use super::decode::decode_transfer;
use super::structure::slice;
use super::text::part_text;
use super::{Parsed, Part};

/// Recipients that a report may tell of.
const MAX_RECIPIENTS: usize = 100_000;
/// Octets of one address.
const MAX_ADDRESS: usize = 1000;

/// What a report says, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal<'a> {
    /// Who sent it; empty for the null path.
    pub sender: String,
    /// For whom, where that is said.
    pub on_behalf_of: Option<String>,
    /// Who got it.
    pub recipients: Vec<JournalRecipient>,
    /// The original, octet by octet.
    pub original: Cow<'a, [u8]>,
}

/// One recipient of a report.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct JournalRecipient {
    /// Its address.
    pub address: String,
    /// `to`, `cc`, `bcc`, or `recipient` where the report does not say.
    pub field: &'static str,
    /// The list that it was a member of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expanded: Option<String>,
    /// Who forwarded to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<String>,
}

/// The report that a message is; `None` for any other, and for one that does not read to its end.
pub fn journal<'a>(message: &'a [u8], parsed: &Parsed) -> Option<Journal<'a>> {
    let root = &parsed.structure;
    if !root.is("multipart", Some("mixed")) {
        return None;
    }
    let (text, rest) = root.children.split_first()?;
    let [original] = rest else { return None };
    if !text.is("text", Some("plain")) || !is_message(original) {
        return None;
    }
    let told = part_text(message, text)?;
    let body = slice(message, original.body);
    let original = decode_transfer(original.transfer_encoding(), body);
    if original.trim_ascii().is_empty() {
        return None;
    }
    told_by(&told, original)
}

fn is_message(part: &Part) -> bool {
    part.is("message", Some("rfc822")) || part.is("message", Some("global"))
}

fn told_by<'a>(text: &str, original: Cow<'a, [u8]>) -> Option<Journal<'a>> {
    let (mut sender, mut on_behalf_of, mut recipients) = (None, None, Vec::new());
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let field = match name.trim().to_ascii_lowercase().as_str() {
            "sender" if sender.is_none() => {
                sender = Some(if value.trim() == "<>" { String::new() } else { address(value)? });
                continue;
            }
            "on-behalf-of" => {
                on_behalf_of = Some(address(value)?);
                continue;
            }
            "to" => "to",
            "cc" => "cc",
            "bcc" => "bcc",
            "recipient" => "recipient",
            _ => continue,
        };
        if recipients.len() >= MAX_RECIPIENTS {
            return None;
        }
        recipients.push(recipient(field, value)?);
    }
    let sender = sender.filter(|_| !recipients.is_empty())?;
    Some(Journal { sender, on_behalf_of, recipients, original })
}

/// `bob@example.org, Expanded: list@example.org`
fn recipient(field: &'static str, value: &str) -> Option<JournalRecipient> {
    let mut parts = value.split(',');
    let own = address(parts.next()?)?;
    let mut found = JournalRecipient { address: own, field, expanded: None, forwarded: None };
    for part in parts {
        let (name, value) = part.split_once(':')?;
        match name.trim().to_ascii_lowercase().as_str() {
            "expanded" => found.expanded = Some(address(value)?),
            "forwarded" => found.forwarded = Some(address(value)?),
            _ => return None,
        }
    }
    Some(found)
}

fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let inside = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>'));
    let right = !inside.is_empty()
        && inside.len() <= MAX_ADDRESS
        && !inside.contains(|c: char| c.is_whitespace() || c.is_control() || c == '<' || c == '>');
    right.then(|| inside.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::super::parse;
    use super::*;

    const ORIGINAL: &str =
        "From: a@x\r\nTo: list@x\r\nSubject: plan\r\n\r\n.dots  and \u{e9}\r\n\r\n";

    fn report(told: &str, original: &str) -> Vec<u8> {
        format!(
            "From: <exchange@x>\r\nX-MS-Journal-Report:\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n\
             --b\r\nContent-Type: text/plain; charset=\"utf-8\"\r\n\r\n{told}\r\n\
             --b\r\nContent-Type: message/rfc822\r\n\r\n{original}\r\n--b--\r\n"
        )
        .into_bytes()
    }

    const TOLD: &str = "Sender: a@x\r\nSubject: plan\r\nMessage-Id: <1@x>\r\n\
        On-Behalf-Of: boss@x\r\nTo: b@x, Expanded: list@x\r\nCc: c@x, Forwarded: d@x\r\n\
        Bcc: secret@x\r\nRecipient: e@x\r\n";

    #[test]
    fn a_report_is_taken_apart_octet_by_octet() {
        let message = report(TOLD, ORIGINAL);
        let journal = journal(&message, &parse(&message)).unwrap();
        assert_eq!(&*journal.original, ORIGINAL.as_bytes());
        assert_eq!(
            (journal.sender.as_str(), journal.on_behalf_of.as_deref()),
            ("a@x", Some("boss@x"))
        );
        let told: Vec<_> =
            journal.recipients.iter().map(|r| (r.field, r.address.as_str())).collect();
        assert_eq!(told, [("to", "b@x"), ("cc", "c@x"), ("bcc", "secret@x"), ("recipient", "e@x")]);
        let via = |n: usize| journal.recipients.get(n).unwrap();
        assert_eq!(via(0).expanded.as_deref(), Some("list@x"));
        assert_eq!(via(1).forwarded.as_deref(), Some("d@x"));
    }

    #[test]
    fn what_is_none_or_does_not_read_is_none() {
        for told in [
            "",
            "To: b@x\r\n",
            "Sender: a@x\r\n",
            "Sender: two words\r\nTo: b@x\r\n",
            "Sender: a@x\r\nTo: b@x, Strange: c\r\n",
            "Sender: a@x\r\nTo: \r\n",
        ] {
            let message = report(told, ORIGINAL);
            assert_eq!(journal(&message, &parse(&message)), None, "{told:?}");
        }
        let message = report(TOLD, "");
        assert_eq!(journal(&message, &parse(&message)), None);
        let plain = ORIGINAL.as_bytes();
        assert_eq!(journal(plain, &parse(plain)), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = journal(&octets, &parse(&octets));
        }

        #[test]
        fn any_text_and_original_come_back_or_nothing_does(
            told in "((Sender|To|Bcc|Recipient|X): ?[a-z@<>, :]{0,12}(, Expanded: [a-z@]{1,6})?\r\n){0,6}",
            body in "[ -~\r\n]{0,80}",
        ) {
            let original = format!("Subject: x\r\n\r\n{body}");
            prop_assume!(!original.contains("--b"));
            let message = report(&told, &original);
            if let Some(journal) = journal(&message, &parse(&message)) {
                prop_assert_eq!(&*journal.original, original.as_bytes());
            }
        }
    }
}

//! ENVELOPE (RFC 9051 section 7.5.2).

use super::address::addresses;
use super::budget::Budget;
use super::header::{Field, fields, unfold};
use super::{Envelope, EnvelopeAddress};

/// The envelope of a message with this header.
pub(crate) fn envelope(header: &[u8], budget: &mut Budget) -> Envelope {
    let mut found = Envelope::default();
    for field in fields(header) {
        take(&mut found, &field, budget);
    }
    // RFC 9051 section 7.5.2: absent or empty, they are as `from`.
    if found.sender.is_empty() {
        found.sender.clone_from(&found.from);
    }
    if found.reply_to.is_empty() {
        found.reply_to.clone_from(&found.from);
    }
    found
}

fn take(found: &mut Envelope, field: &Field<'_>, budget: &mut Budget) {
    match field.name.to_ascii_lowercase().as_slice() {
        b"date" => text(&mut found.date, field, budget),
        b"subject" => text(&mut found.subject, field, budget),
        b"in-reply-to" => text(&mut found.in_reply_to, field, budget),
        b"message-id" => text(&mut found.message_id, field, budget),
        b"from" => first(&mut found.from, field, budget),
        b"sender" => first(&mut found.sender, field, budget),
        b"reply-to" => first(&mut found.reply_to, field, budget),
        // RFC 5322 section 4.5.3: several destination fields are as one.
        b"to" => list(&mut found.to, field, budget),
        b"cc" => list(&mut found.cc, field, budget),
        b"bcc" => list(&mut found.bcc, field, budget),
        _ => {}
    }
}

fn text(to: &mut Option<Vec<u8>>, field: &Field<'_>, budget: &mut Budget) {
    if to.is_none() && budget.take_octets(field.value.len()) {
        *to = Some(unfold(field.value));
    }
}

fn first(to: &mut Vec<EnvelopeAddress>, field: &Field<'_>, budget: &mut Budget) {
    if to.is_empty() {
        list(to, field, budget);
    }
}

fn list(to: &mut Vec<EnvelopeAddress>, field: &Field<'_>, budget: &mut Budget) {
    if budget.take_octets(field.value.len()) {
        let more = addresses(field.value, budget.addresses());
        budget.take_addresses(more.len());
        to.extend(more);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn read(header: &[u8]) -> Envelope {
        envelope(header, &mut Budget::default())
    }

    fn host(list: &[EnvelopeAddress]) -> Vec<&[u8]> {
        list.iter().filter_map(|a| a.host.as_deref()).collect()
    }

    #[test]
    fn sender_and_reply_to_are_from_unless_given() {
        let e = read(b"From: a@one\r\nSender:\r\n\r\n");
        assert_eq!((host(&e.sender), host(&e.reply_to)), (vec![&b"one"[..]], vec![&b"one"[..]]));
        let e = read(b"Reply-To: c@three\r\nSender: b@two\r\nFrom: a@one\r\n\r\n");
        assert_eq!((host(&e.sender), host(&e.reply_to)), (vec![&b"two"[..]], vec![&b"three"[..]]));
    }

    #[test]
    fn absent_is_not_empty() {
        let e = read(b"Subject:\r\nDate:  \r\n\r\n");
        assert_eq!((e.subject, e.date), (Some(vec![]), Some(vec![])));
        assert_eq!((e.message_id, e.in_reply_to), (None, None));
    }

    #[test]
    fn the_first_subject_counts_and_all_recipients() {
        let e = read(b"Subject: =?utf-8?q?a?=\r\n  b\r\nSubject: no\r\nTo: a@one\r\nTo: b@two\r\n");
        assert_eq!(e.subject.unwrap(), b"=?utf-8?q?a?=  b");
        assert_eq!(host(&e.to), [b"one", b"two"]);
    }
}

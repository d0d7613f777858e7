//! ENVELOPE.

use bytes::{BufMut, BytesMut};
use redoubt_store::mime::{Envelope, EnvelopeAddress};

use super::nstring;

/// envelope (RFC 9051 section 7.5.2)
pub fn envelope(out: &mut BytesMut, envelope: &Envelope) {
    out.put_u8(b'(');
    nstring(out, envelope.date.as_deref());
    out.put_u8(b' ');
    nstring(out, envelope.subject.as_deref());
    for list in [
        &envelope.from,
        &envelope.sender,
        &envelope.reply_to,
        &envelope.to,
        &envelope.cc,
        &envelope.bcc,
    ] {
        out.put_u8(b' ');
        addresses(out, list);
    }
    out.put_u8(b' ');
    nstring(out, envelope.in_reply_to.as_deref());
    out.put_u8(b' ');
    nstring(out, envelope.message_id.as_deref());
    out.put_u8(b')');
}

fn addresses(out: &mut BytesMut, addresses: &[EnvelopeAddress]) {
    if addresses.is_empty() {
        return out.put_slice(b"NIL");
    }
    out.put_u8(b'(');
    addresses.iter().for_each(|one| address(out, one));
    out.put_u8(b')');
}

fn address(out: &mut BytesMut, address: &EnvelopeAddress) {
    out.put_u8(b'(');
    nstring(out, address.name.as_deref());
    for part in [&address.adl, &address.mailbox, &address.host] {
        out.put_u8(b' ');
        nstring(out, part.as_deref());
    }
    out.put_u8(b')');
}

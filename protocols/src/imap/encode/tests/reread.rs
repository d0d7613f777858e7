//! Any envelope and any structure reads back as what it was, by a reader that
//! knows only RFC 9051's fields and their order.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use redoubt_store::mime::{Envelope, EnvelopeAddress, Nested, Part, Span};

use super::reader::{Value, read};
use super::*;

type Parameters = Vec<(Vec<u8>, Vec<u8>)>;

/// Octets as headers have them: text, 8 bit, line ends; NUL, which must not come through.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof!["[a-z ]{0,6}".prop_map(String::into_bytes), vec(any::<u8>(), 0..8)]
}

fn address() -> impl Strategy<Value = EnvelopeAddress> {
    (option::of(octets()), option::of(octets()), option::of(octets()), option::of(octets()))
        .prop_map(|(name, adl, mailbox, host)| EnvelopeAddress { name, adl, mailbox, host })
}

fn any_envelope() -> impl Strategy<Value = Envelope> {
    (vec(option::of(octets()), 4), vec(vec(address(), 0..3), 6)).prop_map(|(texts, lists)| {
        let [date, subject, in_reply_to, message_id]: [_; 4] = texts.try_into().unwrap();
        let [from, sender, reply_to, to, cc, bcc]: [_; 6] = lists.try_into().unwrap();
        Envelope { date, subject, from, sender, reply_to, to, cc, bcc, in_reply_to, message_id }
    })
}

fn parameters() -> impl Strategy<Value = Parameters> {
    vec((octets(), octets()), 0..3)
}

fn leaf() -> impl Strategy<Value = Part> {
    let media = prop::sample::select(vec!["text", "TEXT", "image", "message", "multipart"]);
    let subtype = prop::sample::select(vec!["plain", "rfc822", "GLOBAL", "partial", "mixed"]);
    let optional = vec(option::of(octets()), 4);
    let disposition = option::of((octets(), parameters()));
    let numbers = (any::<u64>(), any::<u64>());
    let rest = (optional, disposition, vec(octets(), 0..3), numbers);
    (media, subtype, parameters(), octets(), rest).prop_map(
        |(media, subtype, parameters, encoding, (optional, disposition, language, numbers))| {
            let [id, description, md5, location]: [_; 4] = optional.try_into().unwrap();
            Part {
                media_type: media.into(),
                subtype: subtype.into(),
                parameters,
                id,
                description,
                encoding,
                md5,
                disposition,
                language,
                location,
                body: Span { start: 0, len: numbers.0 },
                lines: numbers.1,
                ..Part::default()
            }
        },
    )
}

fn any_part() -> impl Strategy<Value = Part> {
    leaf().prop_recursive(4, 16, 3, |inner| {
        let several = (leaf(), vec(inner.clone(), 1..3)).prop_map(|(part, children)| Part {
            media_type: "multipart".into(),
            children,
            ..part
        });
        let nested = (leaf(), any_envelope(), inner).prop_map(|(part, envelope, structure)| Part {
            media_type: "message".into(),
            subtype: "rfc822".into(),
            message: Some(Box::new(Nested { envelope, structure })),
            ..part
        });
        prop_oneof![several, nested]
    })
}

fn text(octets: &[u8]) -> Value {
    Value::Text(octets.iter().copied().filter(|b| *b != 0).collect())
}

fn optional(octets: &Option<Vec<u8>>) -> Value {
    octets.as_deref().map_or(Value::Nil, text)
}

fn some(values: Vec<Value>) -> Value {
    if values.is_empty() { Value::Nil } else { Value::List(values) }
}

fn named(parameters: &Parameters) -> Value {
    some(parameters.iter().flat_map(|(name, value)| [text(name), text(value)]).collect())
}

fn envelope_value(envelope: &Envelope) -> Value {
    let address = |a: &EnvelopeAddress| {
        Value::List([&a.name, &a.adl, &a.mailbox, &a.host].map(optional).to_vec())
    };
    let list = |list: &Vec<EnvelopeAddress>| some(list.iter().map(address).collect());
    let Envelope { date, subject, from, sender, reply_to, to, cc, bcc, in_reply_to, message_id } =
        envelope;
    let mut values = vec![optional(date), optional(subject)];
    values.extend([from, sender, reply_to, to, cc, bcc].map(list));
    values.extend([optional(in_reply_to), optional(message_id)]);
    Value::List(values)
}

fn extension(part: &Part, first: Value) -> Vec<Value> {
    let disposition = match &part.disposition {
        Some((kind, of_it)) => Value::List(vec![text(kind), named(of_it)]),
        None => Value::Nil,
    };
    let language = some(part.language.iter().map(|one| text(one)).collect());
    vec![first, disposition, language, optional(&part.location)]
}

fn nothing(extended: bool) -> Value {
    let charset = Value::List(vec![text(b"charset"), text(b"us-ascii")]);
    let mut values = vec![text(b"text"), text(b"plain"), charset, Value::Nil, Value::Nil];
    values.extend([text(b"7bit"), Value::Number(0), Value::Number(0)]);
    values.extend(vec![Value::Nil; if extended { 4 } else { 0 }]);
    Value::List(values)
}

fn part_value(part: &Part, extended: bool) -> Value {
    let media = String::from_utf8(part.media_type.to_ascii_lowercase()).unwrap();
    if media == "multipart" {
        let mut values: Vec<Value> =
            part.children.iter().map(|child| part_value(child, extended)).collect();
        if values.is_empty() {
            values.push(nothing(extended));
        }
        values.push(text(&part.subtype));
        if extended {
            values.extend(extension(part, named(&part.parameters)));
        }
        return Value::List(values);
    }
    let encoding: &[u8] = if part.encoding.is_empty() { b"7BIT" } else { &part.encoding };
    let mut values = vec![text(&part.media_type), text(&part.subtype), named(&part.parameters)];
    values.extend([optional(&part.id), optional(&part.description), text(encoding)]);
    values.push(Value::Number(part.body.len));
    let subtype = part.subtype.to_ascii_lowercase();
    if media == "message" && [&b"rfc822"[..], b"global"].contains(&subtype.as_slice()) {
        let (envelope, body) = match &part.message {
            Some(nested) => {
                (envelope_value(&nested.envelope), part_value(&nested.structure, extended))
            }
            None => (envelope_value(&Envelope::default()), nothing(extended)),
        };
        values.extend([envelope, body, Value::Number(part.lines)]);
    } else if media == "text" {
        values.push(Value::Number(part.lines));
    }
    if extended {
        values.extend(extension(part, optional(&part.md5)));
    }
    Value::List(values)
}

fn reread(write: impl FnOnce(&mut BytesMut)) -> Option<Value> {
    let mut out = BytesMut::new();
    write(&mut out);
    read(&out)
}

proptest! {
    #[test]
    fn envelopes_read_back(value in any_envelope()) {
        prop_assert_eq!(reread(|out| envelope(out, &value)), Some(envelope_value(&value)));
    }

    #[test]
    fn structures_read_back(part in any_part()) {
        prop_assert_eq!(reread(|out| body(out, &part)), Some(part_value(&part, false)));
        prop_assert_eq!(reread(|out| body_structure(out, &part)), Some(part_value(&part, true)));
    }
}

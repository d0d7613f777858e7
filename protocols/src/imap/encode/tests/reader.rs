//! A reader of responses that shares nothing with the writer, nor with the
//! grammar of commands: values and lists, as a client's library sees them.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Nil,
    Number(u64),
    Text(Vec<u8>),
    List(Vec<Value>),
}

/// The one value that the octets are.
pub(super) fn read(octets: &[u8]) -> Option<Value> {
    let (value, rest) = value(octets)?;
    rest.is_empty().then_some(value)
}

fn value(octets: &[u8]) -> Option<(Value, &[u8])> {
    match octets.first()? {
        b'(' => list(&octets[1..]),
        b'"' => quoted(&octets[1..]),
        b'{' => literal(&octets[1..]),
        b'0'..=b'9' => number(octets),
        _ => Some((Value::Nil, octets.strip_prefix(b"NIL")?)),
    }
}

/// Values with one space between, or none between two lists.
fn list(mut octets: &[u8]) -> Option<(Value, &[u8])> {
    let mut values = Vec::new();
    loop {
        let (one, rest) = value(octets)?;
        let was_list = matches!(one, Value::List(_));
        values.push(one);
        octets = match rest.first()? {
            b')' => return Some((Value::List(values), &rest[1..])),
            b' ' => &rest[1..],
            b'(' if was_list => rest,
            _ => return None,
        };
    }
}

fn quoted(mut octets: &[u8]) -> Option<(Value, &[u8])> {
    let mut text = Vec::new();
    loop {
        match octets {
            [b'"', rest @ ..] => return Some((Value::Text(text), rest)),
            [b'\\', escaped @ (b'"' | b'\\'), rest @ ..] => {
                text.push(*escaped);
                octets = rest;
            }
            [plain @ (b' '..=b'!' | b'#'..=b'[' | b']'..=b'~'), rest @ ..] => {
                text.push(*plain);
                octets = rest;
            }
            _ => return None,
        }
    }
}

fn number(octets: &[u8]) -> Option<(Value, &[u8])> {
    let end = octets.iter().position(|b| !b.is_ascii_digit()).unwrap_or(octets.len());
    let digits = std::str::from_utf8(&octets[..end]).ok()?;
    Some((Value::Number(digits.parse().ok()?), &octets[end..]))
}

fn literal(octets: &[u8]) -> Option<(Value, &[u8])> {
    let (Value::Number(size), rest) = number(octets)? else { return None };
    let rest = rest.strip_prefix(b"}\r\n")?;
    let (text, rest) = rest.split_at_checked(usize::try_from(size).ok()?)?;
    (!text.contains(&0)).then(|| (Value::Text(text.to_vec()), rest))
}

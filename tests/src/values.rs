//! IMAP's responses as values. What does not read is `None`, never a panic: it is a finding.

/// A value of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An atom, with a section in brackets if it has one; a number; a response code's bracket.
    Atom(String),
    /// A quoted string or a literal.
    Text(Vec<u8>),
    /// A list.
    List(Vec<Value>),
}

impl Value {
    /// As text, whatever it is.
    pub fn text(&self) -> String {
        match self {
            Self::Atom(text) => text.clone(),
            Self::Text(octets) => String::from_utf8_lossy(octets).into_owned(),
            Self::List(values) => {
                let words: Vec<String> = values.iter().map(Self::text).collect();
                format!("({})", words.join(" "))
            }
        }
    }

    /// As octets, for strings.
    pub fn octets(&self) -> &[u8] {
        match self {
            Self::Text(octets) => octets,
            _ => b"",
        }
    }

    /// As a number; panics if it is none.
    pub fn number(&self) -> u64 {
        self.text().parse().unwrap_or_else(|_| panic!("{self:?} is not a number"))
    }

    /// The values of a list; of others none.
    pub fn list(&self) -> &[Value] {
        match self {
            Self::List(values) => values,
            _ => &[],
        }
    }

    /// As text, for atoms and strings only.
    pub fn as_text(&self) -> Option<String> {
        match self {
            Self::Atom(text) => Some(text.clone()),
            Self::Text(octets) => String::from_utf8(octets.clone()).ok(),
            Self::List(_) => None,
        }
    }

    /// As a number, if it is one.
    pub fn as_number<N: std::str::FromStr>(&self) -> Option<N> {
        self.as_text()?.parse().ok()
    }

    /// The values of a list only.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }
}

/// Reads all values of a response with its literals.
pub fn values(mut line: &[u8]) -> Option<Vec<Value>> {
    let values = list(&mut line, 0)?;
    line.is_empty().then_some(values)
}

fn list(rest: &mut &[u8], depth: u32) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    loop {
        match rest.first() {
            None => return (depth == 0).then_some(values),
            Some(b' ') => *rest = rest.get(1..)?,
            Some(b')') => {
                *rest = rest.get(1..)?;
                return (depth > 0).then_some(values);
            }
            Some(b'(') if depth < 16 => {
                *rest = rest.get(1..)?;
                values.push(Value::List(list(rest, depth + 1)?));
            }
            Some(b'(') => return None,
            Some(b'"') => values.push(Value::Text(quoted(rest)?)),
            Some(b'{') => values.push(Value::Text(literal(rest)?)),
            Some(_) => values.push(Value::Atom(atom(rest)?)),
        }
    }
}

fn quoted(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 1;
    while *rest.get(at)? != b'"' {
        at += usize::from(rest[at] == b'\\');
        out.push(*rest.get(at)?);
        at += 1;
    }
    *rest = rest.get(at + 1..)?;
    Some(out)
}

fn literal(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let end = rest.iter().position(|byte| *byte == b'\n')? + 1;
    let length = literal_length(rest.get(..end)?)?;
    let out = rest.get(end..end.checked_add(length)?)?.to_vec();
    *rest = rest.get(end + length..)?;
    Some(out)
}

/// How long the literal is that this line announces at its end.
pub fn literal_length(line: &[u8]) -> Option<usize> {
    let inner = line.trim_ascii_end().strip_suffix(b"}")?;
    let open = inner.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(inner.get(open + 1..)?).ok()?.parse().ok()
}

fn atom(rest: &mut &[u8]) -> Option<String> {
    let mut depth = 0_i32;
    let mut end = 0;
    while let Some(byte) = rest.get(end) {
        match byte {
            b'[' => depth += 1,
            b']' => depth -= 1,
            b' ' | b'(' | b')' if depth <= 0 => break,
            _ => {}
        }
        end += 1;
    }
    let text = String::from_utf8(rest.get(..end)?.to_vec()).ok()?;
    *rest = rest.get(end..)?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_read() {
        let line =
            b"3 FETCH (UID 7 BODY[HEADER.FIELDS (A B)] {3}\r\nx)y ENVELOPE (\"a\\\"b\" NIL))";
        let read = values(line).unwrap();
        let items = read[2].as_list().unwrap();
        assert_eq!(read[0].as_number::<u32>(), Some(3));
        assert_eq!(items[2], Value::Atom("BODY[HEADER.FIELDS (A B)]".into()));
        assert_eq!(items[3], Value::Text(b"x)y".to_vec()));
        assert_eq!(items[5].as_list().unwrap()[0].as_text().unwrap(), "a\"b");
    }

    #[test]
    fn nonsense_is_no_value() {
        for line in [&b"1 FETCH (UID 1"[..], b"a)", b"\"x", b"{9}\r\nabc", b"\"\\"] {
            assert_eq!(values(line), None, "{}", String::from_utf8_lossy(line));
        }
    }
}

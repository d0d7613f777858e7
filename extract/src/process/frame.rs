//! What parent and worker say to each other: numbers lowest octet first, octets behind their
//! lengths. Both are the same program, so there are no versions.

use std::io::{self, Read, Write};

use crate::{Document, Extracted, Limits, Status, cut};

/// What a worker is told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setup {
    /// Of each document.
    pub(super) limits: Limits,
    /// Octets of address space beyond the program itself.
    pub(super) memory: u64,
    /// Seconds of processor time in its life.
    pub(super) processor: u64,
    /// Documents in its life.
    pub(super) documents: u64,
}

/// What a worker is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Extract(Document, Vec<u8>),
    /// To try what it must not be able to do.
    Probe,
}

/// What it answers; `last` when it ends behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) extracted: Extracted,
    pub(super) last: bool,
}

const EXTRACT: u8 = 1;
const PROBE: u8 = 2;
/// Octets of a media type, a name, a reason.
const MAX_FIELD: u64 = 64 * 1024;

impl Setup {
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let limits = &self.limits;
        let numbers = [
            limits.text,
            limits.expanded,
            limits.ratio,
            limits.depth.into(),
            limits.members.into(),
            self.memory,
            self.processor,
            self.documents,
        ];
        numbers.iter().try_for_each(|number| to.write_all(&number.to_le_bytes()))?;
        to.flush()
    }

    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let limits = Limits {
            text: number(from)?,
            expanded: number(from)?,
            ratio: number(from)?,
            depth: small(from)?,
            members: small(from)?,
        };
        Ok(Self {
            limits,
            memory: number(from)?,
            processor: number(from)?,
            documents: number(from)?,
        })
    }
}

impl Request {
    /// `None` at the end of the stream.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut kind = [0];
        if from.read(&mut kind)? == 0 {
            return Ok(None);
        }
        match kind {
            [EXTRACT] => {}
            [PROBE] => return Ok(Some(Self::Probe)),
            _ => return Err(invalid("no such request")),
        }
        let document =
            Document { media_type: text(from)?, name: text(from)?, charset: text(from)? };
        Ok(Some(Self::Extract(document, octets(from, u64::MAX)?)))
    }
}

/// Asks for the text of a document.
pub(super) fn ask(to: &mut impl Write, document: &Document, content: &[u8]) -> io::Result<()> {
    to.write_all(&[EXTRACT])?;
    for field in [&document.media_type, &document.name, &document.charset] {
        put(to, cut(field, MAX_FIELD as usize).as_bytes())?;
    }
    put(to, content)?;
    to.flush()
}

/// Asks it to try what it must not.
pub(super) fn probe(to: &mut impl Write) -> io::Result<()> {
    to.write_all(&[PROBE])?;
    to.flush()
}

impl Answer {
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&[self.extracted.status as u8, u8::from(self.last)])?;
        put(to, self.extracted.why.as_deref().unwrap_or_default().as_bytes())?;
        put(to, self.extracted.text.as_bytes())?;
        to.flush()
    }

    /// With at most so many octets of text.
    pub(super) fn read(from: &mut impl Read, limit: u64) -> io::Result<Self> {
        let mut head = [0; 2];
        from.read_exact(&mut head)?;
        let [status, last] = head;
        let status = Status::from_octet(status).ok_or_else(|| invalid("no such status"))?;
        let why = Some(text(from)?).filter(|why| !why.is_empty());
        let text = octets(from, limit)?;
        let text = String::from_utf8(text).map_err(|_| invalid("text that is no UTF-8"))?;
        Ok(Self { extracted: Extracted { status, text, why, stopped: false }, last: last != 0 })
    }
}

fn put(to: &mut impl Write, octets: &[u8]) -> io::Result<()> {
    to.write_all(&(octets.len() as u64).to_le_bytes())?;
    to.write_all(octets)
}

fn number(from: &mut impl Read) -> io::Result<u64> {
    let mut octets = [0; 8];
    from.read_exact(&mut octets)?;
    Ok(u64::from_le_bytes(octets))
}

fn small(from: &mut impl Read) -> io::Result<u32> {
    u32::try_from(number(from)?).map_err(|_| invalid("a number too large"))
}

fn text(from: &mut impl Read) -> io::Result<String> {
    String::from_utf8(octets(from, MAX_FIELD)?).map_err(|_| invalid("a field that is no UTF-8"))
}

/// Grows with what really comes, whatever length was claimed.
fn octets(from: &mut impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let len = number(from)?;
    if len > limit {
        return Err(invalid("more octets than are allowed"));
    }
    let mut octets = Vec::new();
    from.take(len).read_to_end(&mut octets)?;
    match octets.len() as u64 == len {
        true => Ok(octets),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let setup = Setup { limits: Limits::default(), memory: 5, processor: 6, documents: 7 };
        let mut wire = Vec::new();
        setup.write(&mut wire).unwrap();
        let document =
            Document { media_type: "a/b".into(), name: "ü.x".into(), charset: "utf-8".into() };
        ask(&mut wire, &document, b"octets").unwrap();
        probe(&mut wire).unwrap();
        let from = &mut wire.as_slice();
        assert_eq!(Setup::read(from).unwrap(), setup);
        let asked = Request::Extract(document, b"octets".to_vec());
        assert_eq!(Request::read(from).unwrap(), Some(asked));
        assert_eq!(Request::read(from).unwrap(), Some(Request::Probe));
        assert_eq!(Request::read(from).unwrap(), None);
    }

    #[test]
    fn an_answer_longer_than_allowed_is_none() {
        let text = "abc".into();
        let extracted = Extracted { status: Status::Partial, text, why: None, stopped: false };
        let answer = Answer { extracted, last: true };
        let mut wire = Vec::new();
        answer.write(&mut wire).unwrap();
        assert_eq!(Answer::read(&mut wire.as_slice(), 3).unwrap(), answer);
        assert!(Answer::read(&mut wire.as_slice(), 2).is_err());
        for cut in 0..wire.len() {
            assert!(Answer::read(&mut wire.get(..cut).unwrap(), 3).is_err());
        }
    }
}

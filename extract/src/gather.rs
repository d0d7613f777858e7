//! What the readers of one document share: the text so far, and what bounds it.

use std::io::Read as _;

use crate::{Document, Extracted, FREE_EXPANSION, Limits, Status};

/// Why a reader stops before the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A limit of the whole document: no other member is read either.
    Bound(String),
    /// It needs a password.
    Encrypted(String),
    /// It is damaged.
    Broken(String),
    /// Nobody here reads it.
    Unknown(String),
    /// There is no text in such a thing.
    Skipped(String),
}

pub(crate) type Read<T = ()> = Result<T, Trouble>;

/// It is damaged, as its reader says.
pub(crate) fn broken(error: impl std::fmt::Display) -> Trouble {
    Trouble::Broken(shortened(&error.to_string()))
}

const MAX_NOTES: usize = 5;
const MAX_NOTE: usize = 200;

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_NOTE).collect()
}

/// What came of the members of one archive.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    read: u32,
    encrypted: Option<String>,
    failed: Option<String>,
}

impl Tally {
    /// What this makes of the archive: fine unless nothing in it could be read.
    pub(crate) fn end(self) -> Read {
        match self {
            Self { read: 1.., .. } => Ok(()),
            Self { failed: Some(why), .. } => Err(Trouble::Broken(why)),
            Self { encrypted: Some(why), .. } => Err(Trouble::Encrypted(why)),
            _ => Ok(()),
        }
    }
}

/// The text so far.
#[derive(Debug)]
pub(crate) struct Gather {
    limits: Limits,
    text: String,
    any: bool,
    left: u64,
    members: u32,
    depth: u32,
    notes: Vec<String>,
}

impl Gather {
    /// Nothing yet, of a document of so many octets.
    pub(crate) fn new(limits: &Limits, octets: usize) -> Self {
        let by_ratio = limits.ratio.saturating_mul(octets as u64).max(FREE_EXPANSION);
        Self {
            limits: *limits,
            text: String::new(),
            any: false,
            left: limits.expanded.min(by_ratio),
            members: 0,
            depth: 0,
            notes: Vec::new(),
        }
    }

    /// More text of the document.
    pub(crate) fn push(&mut self, text: &str) -> Read {
        self.any |= !text.trim().is_empty();
        self.append(text)
    }

    /// A line of it.
    pub(crate) fn line(&mut self, text: &str) -> Read {
        self.push(text)?;
        self.append("\n")
    }

    /// A line that is about the document: a member's name.
    pub(crate) fn label(&mut self, text: &str) -> Read {
        self.new_line()?;
        self.append(text)?;
        self.append("\n")
    }

    /// What follows begins a line.
    pub(crate) fn new_line(&mut self) -> Read {
        match self.text.is_empty() || self.text.ends_with('\n') {
            true => Ok(()),
            false => self.append("\n"),
        }
    }

    /// What follows stands apart.
    pub(crate) fn space(&mut self) -> Read {
        match self.text.ends_with([' ', '\n', '\t']) {
            true => Ok(()),
            false => self.append(" "),
        }
    }

    fn append(&mut self, text: &str) -> Read {
        for c in text.chars() {
            if self.text.len() as u64 + 4 > self.limits.text {
                return Err(Trouble::Bound(format!(
                    "more than {} octets of text",
                    self.limits.text
                )));
            }
            match c {
                '\n' | '\t' => self.text.push(c),
                '\r' | '\0' => {}
                c if c.is_control() => self.text.push(' '),
                c => self.text.push(c),
            }
        }
        Ok(())
    }

    /// Something is not in the text, and why.
    pub(crate) fn note(&mut self, why: &str) {
        let why = shortened(why);
        if self.notes.len() < MAX_NOTES && !self.notes.contains(&why) {
            self.notes.push(why);
        }
    }

    /// How much of the text there is, for who looks later whether more came.
    pub(crate) fn mark(&self) -> usize {
        self.text.trim_end().len()
    }

    /// Everything of a stream that expands. What breaks off is noted.
    pub(crate) fn expand(&mut self, from: impl std::io::Read) -> Read<Vec<u8>> {
        let mut octets = Vec::new();
        let end = from.take(self.left.saturating_add(1)).read_to_end(&mut octets);
        let Some(left) = self.left.checked_sub(octets.len() as u64) else {
            return Err(Trouble::Bound("it expands to more than is allowed".into()));
        };
        self.left = left;
        match end {
            Err(error) if octets.is_empty() => Err(broken(error)),
            Err(error) => {
                self.note(&format!("a compressed stream breaks off: {error}"));
                Ok(octets)
            }
            Ok(_) => Ok(octets),
        }
    }

    /// One more member of an archive begins.
    pub(crate) fn count_member(&mut self) -> Read {
        self.members += 1;
        match self.members > self.limits.members {
            true => Err(Trouble::Bound(format!("more than {} members", self.limits.members))),
            false => Ok(()),
        }
    }

    /// Reads a member. Only a limit of the whole document is an error.
    pub(crate) fn member(&mut self, document: &Document, octets: &[u8], tally: &mut Tally) -> Read {
        if self.depth >= self.limits.depth {
            let why = format!("nested deeper than {}", self.limits.depth);
            return self.judge(Err(Trouble::Broken(why)), tally);
        }
        self.depth += 1;
        self.new_line()?;
        let end = crate::formats::read(document, octets, self);
        self.depth -= 1;
        self.judge(end, tally)
    }

    /// Counts what came of a member.
    pub(crate) fn judge(&mut self, end: Read, tally: &mut Tally) -> Read {
        match end {
            Ok(()) | Err(Trouble::Skipped(_)) => tally.read += 1,
            Err(Trouble::Bound(why)) => return Err(Trouble::Bound(why)),
            Err(Trouble::Encrypted(why)) => {
                self.note(&why);
                tally.encrypted.get_or_insert(why);
            }
            Err(Trouble::Broken(why) | Trouble::Unknown(why)) => {
                self.note(&why);
                tally.failed.get_or_insert(why);
            }
        }
        Ok(())
    }

    /// What came of it all.
    pub(crate) fn finish(self, end: Read) -> Extracted {
        let status = match &end {
            Ok(()) if self.notes.is_empty() => Status::Ok,
            Err(Trouble::Skipped(_)) => Status::Skipped,
            Err(Trouble::Encrypted(_)) => Status::Encrypted,
            Err(_) if !self.any => Status::Failed,
            _ => Status::Partial,
        };
        let mut notes = self.notes;
        if let Err(
            Trouble::Bound(why)
            | Trouble::Encrypted(why)
            | Trouble::Broken(why)
            | Trouble::Unknown(why)
            | Trouble::Skipped(why),
        ) = end
            && !notes.contains(&why)
        {
            notes.push(why);
        }
        let why = (!notes.is_empty()).then(|| notes.join("; "));
        Extracted { status, text: self.text, why, stopped: false }
    }
}

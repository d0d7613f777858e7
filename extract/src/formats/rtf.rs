//! Rich Text Format (specification 1.9.1), as far as its text needs it.

use encoding_rs::{Encoding, WINDOWS_1252};

use crate::gather::{Gather, Read, Trouble};

/// Groups whose text is not the document's.
const SILENT: [&str; 22] = [
    "fonttbl",
    "colortbl",
    "stylesheet",
    "listtable",
    "listoverridetable",
    "rsidtbl",
    "generator",
    "pict",
    "themedata",
    "colorschememapping",
    "datastore",
    "latentstyles",
    "xmlnstbl",
    "mmathPr",
    "fldinst",
    "objdata",
    "blipuid",
    "filetbl",
    "revtbl",
    "pgptbl",
    "bin",
    "wgrffmtfilter",
];
const MAX_DEPTH: usize = 1_000;

/// What a group has of its own.
#[derive(Debug, Clone, Copy)]
struct Group {
    silent: bool,
    /// Characters to pass over behind each `\u`.
    fallback: usize,
}

struct State<'g> {
    gather: &'g mut Gather,
    groups: Vec<Group>,
    now: Group,
    encoding: &'static Encoding,
    /// Octets of characters that are not complete yet, or not shown yet.
    octets: Vec<u8>,
    skip: usize,
    high: Option<u16>,
}

pub(super) fn read(octets: &[u8], gather: &mut Gather) -> Read {
    let mut state = State {
        gather,
        groups: Vec::new(),
        now: Group { silent: false, fallback: 1 },
        encoding: WINDOWS_1252,
        octets: Vec::new(),
        skip: 0,
        high: None,
    };
    let mut rest = octets;
    while let Some((c, after)) = rest.split_first() {
        rest = after;
        match c {
            b'{' => state.open()?,
            b'}' => state.close()?,
            b'\\' => rest = state.control(after)?,
            b'\r' | b'\n' => {}
            c => state.octet(*c)?,
        }
    }
    state.flush()
}

impl State<'_> {
    fn open(&mut self) -> Read {
        self.flush()?;
        if self.groups.len() >= MAX_DEPTH {
            return Err(Trouble::Broken("groups nested too deep".into()));
        }
        self.groups.push(self.now);
        Ok(())
    }

    fn close(&mut self) -> Read {
        self.flush()?;
        self.now = self.groups.pop().unwrap_or(self.now);
        self.skip = 0;
        Ok(())
    }

    fn octet(&mut self, c: u8) -> Read {
        if self.skip > 0 {
            self.skip -= 1;
        } else if !self.now.silent {
            self.octets.push(c);
        }
        Ok(())
    }

    fn flush(&mut self) -> Read {
        let octets = std::mem::take(&mut self.octets);
        match octets.is_empty() {
            true => Ok(()),
            false => self.gather.push(&self.encoding.decode_without_bom_handling(&octets).0),
        }
    }

    fn shown(&mut self, text: &str) -> Read {
        self.flush()?;
        if self.now.silent { Ok(()) } else { self.gather.push(text) }
    }

    /// Behind a backslash; answers what is behind the control word.
    fn control<'a>(&mut self, from: &'a [u8]) -> Read<&'a [u8]> {
        let Some((c, after)) = from.split_first() else { return Ok(from) };
        match c {
            b'\'' => {
                let digits = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
                if let Some(octet) = digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
                    self.octet(octet)?;
                }
                Ok(after.get(2..).unwrap_or_default())
            }
            b'~' => self.shown("\u{a0}").map(|()| after),
            b'_' => self.shown("-").map(|()| after),
            b'*' => {
                self.now.silent |= !is_kept(after);
                Ok(after)
            }
            b'\r' | b'\n' => self.shown("\n").map(|()| after),
            c if c.is_ascii_alphabetic() => self.word(from),
            c => {
                if matches!(c, b'\\' | b'{' | b'}') {
                    self.octet(*c)?;
                }
                Ok(after)
            }
        }
    }

    fn word<'a>(&mut self, from: &'a [u8]) -> Read<&'a [u8]> {
        let letters = from.iter().take(40).take_while(|c| c.is_ascii_alphabetic()).count();
        let (name, rest) = from.split_at_checked(letters).unwrap_or((from, b""));
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = rest.iter().skip(sign).take(10).take_while(|c| c.is_ascii_digit()).count();
        let number = rest.get(..sign + digits).filter(|_| digits > 0);
        let number = number.and_then(|n| std::str::from_utf8(n).ok()?.parse::<i64>().ok());
        let rest = match digits {
            0 => rest,
            digits => rest.get(sign + digits..).unwrap_or_default(),
        };
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        let name = std::str::from_utf8(name).unwrap_or_default();
        if name == "bin" {
            let len = usize::try_from(number.unwrap_or(0)).unwrap_or(0);
            return Ok(rest.get(len..).unwrap_or_default());
        }
        self.meaning(name, number)?;
        Ok(rest)
    }

    fn meaning(&mut self, name: &str, number: Option<i64>) -> Read {
        match name {
            "par" | "line" | "row" | "sect" | "page" => self.shown("\n"),
            "tab" | "cell" => self.shown("\t"),
            "emdash" => self.shown("—"),
            "endash" => self.shown("–"),
            "lquote" => self.shown("‘"),
            "rquote" => self.shown("’"),
            "ldblquote" => self.shown("“"),
            "rdblquote" => self.shown("”"),
            "bullet" => self.shown("•"),
            "u" => self.unicode(number.unwrap_or(0)),
            "uc" => {
                self.now.fallback = usize::try_from(number.unwrap_or(1)).unwrap_or(1).min(16);
                Ok(())
            }
            "ansicpg" => {
                self.encoding = code_page(number.unwrap_or(1252));
                Ok(())
            }
            name if SILENT.contains(&name) => {
                self.flush()?;
                self.now.silent = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// `\uN`: a UTF-16 unit, signed.
    fn unicode(&mut self, number: i64) -> Read {
        self.flush()?;
        self.skip = self.now.fallback;
        let unit = (number & 0xffff) as u16;
        if (0xd800..0xdc00).contains(&unit) {
            self.high = Some(unit);
            return Ok(());
        }
        let units: Vec<u16> = self.high.take().into_iter().chain([unit]).collect();
        let text = String::from_utf16_lossy(&units);
        if self.now.silent { Ok(()) } else { self.gather.push(&text) }
    }
}

/// Of destinations that readers may not know (`\*`), those with text.
fn is_kept(after: &[u8]) -> bool {
    [&b"\\footnote"[..], b"\\annotation", b"\\shptxt", b"\\shpinst"]
        .iter()
        .any(|kept| after.starts_with(kept))
}

fn code_page(number: i64) -> &'static Encoding {
    let label = match number {
        65001 => "utf-8".to_owned(),
        932 => "shift_jis".to_owned(),
        936 => "gbk".to_owned(),
        949 => "euc-kr".to_owned(),
        950 => "big5".to_owned(),
        10000 => "macintosh".to_owned(),
        number => format!("windows-{number}"),
    };
    Encoding::for_label(label.as_bytes()).unwrap_or(WINDOWS_1252)
}

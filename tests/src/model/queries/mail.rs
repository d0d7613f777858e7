//! Mail of which every word is known, and its words.

use redoubt_extract::{Extracted, Status};
use redoubt_log::dump::rfc3339;
use redoubt_search::texts::{NoTexts, PartText, Texts, TextsError};
use redoubt_store::mailstore::StoreError;
use redoubt_store::mime::{Parsed, parse};
use redoubt_store::search::Reader;

use super::*;

const WORDS: [&str; 12] = [
    "apple",
    "Berry",
    "größe",
    "GROSSE",
    "grösse",
    "cherry-pie",
    "42",
    "日本",
    "applesauce",
    "x",
    "naïve",
    "naive",
];

/// A message of which every word is known.
#[derive(Debug, Clone)]
pub(super) struct Mail {
    header: Vec<(&'static str, String)>,
    pub(super) people: [Vec<(String, String)>; 4],
    pub(super) body: String,
    pub(super) attached: Option<(String, &'static str, Option<Extracted>)>,
    pub(super) sent: Option<i64>,
    octets: Vec<u8>,
}

fn words(mut seed: u64, count: u64) -> String {
    let mut text = Vec::new();
    for _ in 0..count {
        text.push(WORDS[(seed % WORDS.len() as u64) as usize]);
        seed = (seed / WORDS.len() as u64).wrapping_mul(31).wrapping_add(7);
    }
    text.join(" ")
}

fn person(seed: u64, addresses: &[String]) -> (String, String) {
    let name = ["", "Bob Berry", "Jörg", "Apple Shop"][(seed % 4) as usize];
    (name.to_owned(), addresses[(seed / 4) as usize % addresses.len()].clone())
}

fn list(people: &[(String, String)]) -> String {
    let one = |(name, address): &(String, String)| match name.as_str() {
        "" => address.clone(),
        name => format!("{name} <{address}>"),
    };
    people.iter().map(one).collect::<Vec<_>>().join(", ")
}

impl Mail {
    /// The mail of a blob.
    fn of(blob: &BlobId, addresses: &[String]) -> Self {
        let seed = u64::from_le_bytes(blob.0[..8].try_into().unwrap());
        let part = |n: u32, of: u64| (seed >> n) % of;
        let someone = |n: u32| person(seed >> n, addresses);
        let from = vec![someone(3)];
        let to: Vec<_> = (0..part(5, 3)).map(|n| someone(7 + n as u32)).collect();
        let cc: Vec<_> = (0..part(9, 2)).map(|_| someone(11)).collect();
        let sent = (part(13, 4) > 0).then(|| 1_700_000_000 + part(15, 50) as i64);
        let mut header = vec![("From", list(&from)), ("Subject", words(seed >> 4, part(2, 4)))];
        header.extend((!to.is_empty()).then(|| ("To", list(&to))));
        header.extend((!cc.is_empty()).then(|| ("Cc", list(&cc))));
        header.extend((part(17, 3) == 0).then(|| ("X-Berry", words(seed >> 8, 2))));
        header.extend(sent.map(|sent| ("Date", date(sent))));
        header.extend(
            (part(35, 3) == 0).then(|| ("List-Id", format!("<{}.list>", words(seed >> 36, 1)))),
        );
        header.push(("Message-ID", format!("<{}@mail>", part(20, 7))));
        let body = words(seed >> 6, part(21, 8));
        let (text, why) = (words(seed >> 9, 2), None);
        let extracted = match part(23, 5) {
            0 => None,
            1 => Some(Extracted::failed("")),
            2 => Some(Extracted {
                status: Status::Skipped,
                text: String::new(),
                why,
                stopped: false,
            }),
            3 => Some(Extracted { status: Status::Partial, text, why, stopped: false }),
            _ => Some(Extracted { status: Status::Ok, text, why, stopped: false }),
        };
        let kinds = ["application/pdf", "image/png", "application/octet-stream"];
        let kind = kinds[part(27, 3) as usize];
        let ending = ["pdf", "png", "doc"][part(29, 3) as usize];
        let attached = (part(31, 2) == 0)
            .then(|| (format!("berry {}.{ending}", part(33, 2)), kind, extracted));
        let mut mail =
            Self { header, people: [from, to, cc, vec![]], body, attached, sent, octets: vec![] };
        mail.octets = mail.written();
        mail
    }

    fn written(&mut self) -> Vec<u8> {
        let body = self.body.clone();
        let rest = match &self.attached {
            None => {
                self.header.push(("Content-Type", "text/plain; charset=utf-8".into()));
                format!("\r\n{body}")
            }
            Some((name, kind, _)) => {
                self.header.push(("Content-Type", "multipart/mixed; boundary=b".into()));
                format!(
                    "\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n--b\r\n\
                     Content-Type: {kind}\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\r\n\
                     x\r\n--b--\r\n"
                )
            }
        };
        let head: String = self.header.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        (head + &rest).into_bytes()
    }

    /// Every line of its header and of those of its parts.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.header.iter().map(|(n, v)| format!("{n}: {v}")).collect();
        if let Some((name, kind, _)) = &self.attached {
            lines.push("Content-Type: text/plain; charset=utf-8".into());
            lines.push(format!("Content-Type: {kind}"));
            lines.push(format!("Content-Disposition: attachment; filename=\"{name}\""));
        }
        lines
    }

    pub(super) fn named(&self, wanted: &str) -> Vec<String> {
        let named = self.header.iter().filter(|(name, _)| *name == wanted);
        named.map(|(_, value)| value.clone()).collect()
    }

    pub(super) fn extracted(&self) -> Vec<String> {
        let text = self.attached.as_ref().and_then(|(_, _, text)| text.clone());
        text.map(|text| text.text).into_iter().collect()
    }

    pub(super) fn file_names(&self) -> Vec<String> {
        self.attached.iter().map(|(name, _, _)| name.clone()).collect()
    }
}

fn date(seconds: i64) -> String {
    let text = rfc3339(Timestamp(seconds * 1000));
    // All of these are of two days of November.
    format!("{} Nov 2023 {} +0000", &text[8..10], &text[11..19])
}

/// Mail by blob, as far as a story is told.
#[derive(Debug)]
pub(super) struct Mails {
    pub(super) addresses: Vec<String>,
    /// Blobs that are envelopes.
    pub(super) envelopes: BTreeSet<BlobId>,
}

impl Mails {
    /// Sender and recipients of an envelope; the sender of some is the null path.
    pub(super) fn envelope(&self, blob: &BlobId) -> (String, Vec<String>) {
        let seed = u64::from_le_bytes(blob.0[..8].try_into().unwrap());
        let one = |n: u32| self.addresses[(seed >> n) as usize % self.addresses.len()].clone();
        let sender = if seed.is_multiple_of(5) { String::new() } else { one(3) };
        (sender, (0..1 + (seed >> 13) % 3).map(|n| one(17 + 8 * n as u32)).collect())
    }

    pub(super) fn of(&self, blob: &BlobId) -> Mail {
        Mail::of(blob, &self.addresses)
    }
}

impl Reader for Mails {
    fn parsed(&self, blob: &BlobId) -> Result<std::sync::Arc<Parsed>, StoreError> {
        Ok(std::sync::Arc::new(parse(&Mails::of(self, blob).octets)))
    }

    fn content(&self, blob: &BlobId) -> Result<bytes::Bytes, StoreError> {
        if !self.envelopes.contains(blob) {
            return Ok(Mails::of(self, blob).octets.into());
        }
        let (sender, recipients) = self.envelope(blob);
        let text = serde_json::json!({"sender": sender, "recipients": recipients}).to_string();
        Ok([&[7; 16], text.as_bytes()].concat().into())
    }
}

impl Texts for Mails {
    fn of(&self, message: &BlobId) -> Result<Option<Vec<PartText>>, TextsError> {
        let part = |extracted: Extracted| PartText { number: vec![2], extracted: extracted.into() };
        Ok(match Mails::of(self, message).attached {
            None => Some(Vec::new()),
            Some((_, _, extracted)) => extracted.map(|extracted| vec![part(extracted)]),
        })
    }

    fn now(&self, message: &BlobId) -> Result<Vec<PartText>, TextsError> {
        NoTexts.now(message)
    }

    fn of_octets(
        &self,
        part: &redoubt_store::mime::Part,
        octets: &[u8],
    ) -> Result<std::sync::Arc<Extracted>, TextsError> {
        NoTexts.of_octets(part, octets)
    }
}

// ---------------------------------------------------------------------- words

/// Words with their accents, and without.
pub(super) fn tokens(text: &str) -> Vec<(String, String)> {
    let mut words: Vec<String> = vec![String::new()];
    for c in text.to_lowercase().chars() {
        match c {
            '日' | '本' => words.extend([c.to_string(), String::new()]),
            'ß' => words.last_mut().unwrap().push_str("ss"),
            c if c.is_alphanumeric() => words.last_mut().unwrap().push(c),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    let plain = |word: &str| word.replace('ö', "o").replace('ï', "i");
    words.into_iter().map(|word| (plain(&word), word)).collect()
}

/// A word or a phrase, with stars.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) text: String,
    start: bool,
    end: bool,
}

impl Wanted {
    pub(super) fn new(seed: u8) -> Self {
        const NEEDLES: [&str; 24] = [
            "apple",
            "APPLE",
            "appl*",
            "*ple",
            "*ppl*",
            "berry",
            "grosse",
            "größe",
            "grösse",
            "\"apple berry\"",
            "cherry",
            "pie",
            "cherry-pie",
            "*rry-p*",
            "42",
            "日",
            "日本",
            "naive",
            "naïve",
            "na*",
            "x",
            "bob",
            "pdf",
            "*o*",
        ];
        let text = NEEDLES[usize::from(seed) % NEEDLES.len()];
        let (start, end) = (text.starts_with('*'), text.ends_with('*'));
        Self { text: text.into(), start, end }
    }

    /// First places and how many words it is long.
    pub(super) fn places(&self, text: &[(String, String)]) -> Vec<(usize, usize)> {
        let want = tokens(&self.text);
        let mut found = Vec::new();
        'place: for at in 0..text.len() {
            for (n, (plain, marked)) in want.iter().enumerate() {
                let Some(have) = text.get(at + n) else { continue 'place };
                let (have, want) =
                    if plain == marked { (&have.0, plain) } else { (&have.1, marked) };
                let (start, end) =
                    (self.start && n == 0, self.end && n + 1 == want_len(&self.text));
                let fits = match (start, end) {
                    (false, false) => have == want,
                    (true, false) => have.ends_with(want.as_str()),
                    (false, true) => have.starts_with(want.as_str()),
                    (true, true) => have.contains(want.as_str()),
                };
                if !fits {
                    continue 'place;
                }
            }
            found.push((at, want.len()));
        }
        found
    }
}

fn want_len(text: &str) -> usize {
    tokens(text).len()
}

/// Words near each other in a text.
pub(super) fn near(text: &str, first: &Wanted, second: &Wanted, gap: usize) -> bool {
    let text = tokens(text);
    first.places(&text).iter().any(|(a, a_len)| {
        second.places(&text).iter().any(|(b, b_len)| {
            let between = if a < b { b.checked_sub(a + a_len) } else { a.checked_sub(b + b_len) };
            between.is_some_and(|between| between <= gap)
        })
    })
}

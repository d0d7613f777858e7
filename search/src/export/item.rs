//! What an export says of one email.

use redoubt_store::mime::{EnvelopeAddress, Parsed, decode_words};
use serde::{Deserialize, Serialize};

/// An email of an export: a line of `emails.jsonl`, and the file beside its octets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Its control number.
    pub control: String,
    /// Whose it is: the account's address.
    pub account: String,
    /// That account's id.
    pub account_id: u64,
    /// Accounts of the search that have the same octets, this one included.
    pub custodians: Vec<String>,
    /// EMAILID.
    pub email_id: String,
    /// THREADID.
    pub thread_id: String,
    /// Where it stands, or stood at last.
    pub mailbox: String,
    /// Its UID there.
    pub uid: u32,
    /// Its flags and keywords, or those that it had at last.
    pub flags: Vec<String>,
    /// INTERNALDATE, in UTC.
    pub received: String,
    /// SAVEDATE, in UTC.
    pub saved: String,
    /// How it went, if it did.
    pub expunged: Option<Expunged>,
    /// Octets.
    pub size: u64,
    /// BLAKE3 of its octets.
    pub blob: String,
    /// BLAKE3 of the octets as they came, without the lines that delivery put before them.
    pub original: String,
    /// MD5 of its octets.
    pub md5: String,
    /// SHA-1 of its octets.
    pub sha1: String,
    /// SHA-256 of its octets.
    pub sha256: String,
    /// The SMTP envelope, of what was delivered.
    pub envelope: Option<Envelope>,
    /// Its Subject.
    pub subject: String,
    /// Its From.
    pub from: Vec<String>,
    /// Its To.
    pub to: Vec<String>,
    /// Its Cc.
    pub cc: Vec<String>,
    /// Its Bcc.
    pub bcc: Vec<String>,
    /// Its Date, as written.
    pub date: String,
    /// Its Message-ID.
    pub message_id: String,
    /// Its In-Reply-To.
    pub in_reply_to: String,
    /// Indexes of the records that brought it, and that did something to it.
    pub records: Vec<u64>,
    /// The file that has its octets, if any has.
    pub file: Option<String>,
    /// Where in an mbox file its octets begin, quoted.
    pub offset: Option<u64>,
    /// How many they are there.
    pub length: Option<u64>,
    /// Its attachments, where they are files of their own.
    pub parts: Vec<PartLine>,
}

/// The SMTP envelope of a delivery: docs/format.md, "Envelope".
pub type Envelope = serde_json::Value;

/// How an email went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expunged {
    /// By which record.
    pub index: u64,
    /// When, in UTC.
    pub time: String,
    /// Whether with its mailbox.
    pub with_mailbox: bool,
}

/// An attachment that is a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartLine {
    /// Its control number.
    pub control: String,
    /// Its own name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// The file.
    pub file: String,
    /// The file with its text, where there is one.
    pub text: Option<String>,
    /// What came of extracting it: `ok`, `partial`, `failed`, `encrypted`, `skipped` or `none`.
    pub status: String,
}

impl Item {
    /// Fills in what the header says.
    pub fn describe(&mut self, parsed: &Parsed) {
        let envelope = &parsed.envelope;
        let text = |octets: &Option<Vec<u8>>| decode_words(octets.as_deref().unwrap_or_default());
        let all = |list: &[EnvelopeAddress]| list.iter().filter_map(address).collect();
        self.subject = text(&envelope.subject);
        self.date = text(&envelope.date);
        self.message_id = text(&envelope.message_id);
        self.in_reply_to = text(&envelope.in_reply_to);
        self.from = all(&envelope.from);
        self.to = all(&envelope.to);
        self.cc = all(&envelope.cc);
        self.bcc = all(&envelope.bcc);
    }
}

/// An address as people read it; `None` for the ends of groups.
fn address(address: &EnvelopeAddress) -> Option<String> {
    let text = |part: &Option<Vec<u8>>| {
        part.as_deref().map(|octets| String::from_utf8_lossy(octets).into_owned())
    };
    let mailbox = text(&address.mailbox)?;
    let plain = match text(&address.host) {
        Some(host) => format!("{mailbox}@{host}"),
        None => mailbox,
    };
    Some(match address.name.as_deref().map(decode_words).filter(|name| !name.is_empty()) {
        Some(name) => format!("{name} <{plain}>"),
        None => plain,
    })
}

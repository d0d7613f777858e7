//! Keyed hashes: what threads a message (RFC 8621 section 3), and what makes an
//! MTA's retry known. Computed once, outside `apply`, under the shard's secret,
//! so that the log holds no subject and no correspondent.

use mail_parser::parsers::MessageStream;
use redoubt_log::id::{OperationId, ThreadKey};
use redoubt_log::record::ThreadKeys;

use crate::mailstore::ShardSecret;

/// Message-ids that one message is threaded by; of more the own and the last ones count.
const MAX_IDS: usize = 100;
/// Octets of a subject that count.
const MAX_SUBJECT: usize = 2000;

/// The keys of one shard, one for each use of its secret.
#[derive(Clone)]
pub(crate) struct KeyedHashes {
    message_id: [u8; 32],
    subject: [u8; 32],
    delivery: [u8; 32],
}

impl std::fmt::Debug for KeyedHashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyedHashes(..)")
    }
}

impl KeyedHashes {
    pub(crate) fn new(secret: &ShardSecret) -> Self {
        let key = |context: &str| blake3::derive_key(context, &secret.0);
        Self {
            message_id: key("redoubt.thread.message-id.v1"),
            subject: key("redoubt.thread.subject.v1"),
            delivery: key("redoubt.delivery.operation.v1"),
        }
    }

    /// What threads a message with these values of Message-ID, In-Reply-To,
    /// References and Subject, raw.
    pub(crate) fn thread(&self, ids: Ids<'_>, subject: &[u8]) -> ThreadKeys {
        let key = |id: &&[u8]| ThreadKey(short(&self.message_id, &[id]));
        ThreadKeys {
            message_ids: ids.all().iter().map(key).collect(),
            subject: ThreadKey(short(&self.subject, &[base_subject(subject).as_bytes()])),
        }
    }

    /// The operation id of a delivery: sender, recipient and DATA name it.
    pub(crate) fn delivery(&self, sender: &str, recipient: &str, data: &[u8; 32]) -> OperationId {
        let recipient = recipient.to_lowercase();
        OperationId(short(&self.delivery, &[sender.as_bytes(), recipient.as_bytes(), data]))
    }
}

fn short(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let mut short = [0; 16];
    hasher.finalize_xof().fill(&mut short);
    short
}

/// Raw values of the fields with message-ids in them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ids<'a> {
    pub(crate) message_id: &'a [u8],
    pub(crate) in_reply_to: &'a [u8],
    pub(crate) references: &'a [u8],
}

impl<'a> Ids<'a> {
    /// Each once, the own first.
    fn all(self) -> Vec<&'a [u8]> {
        let own = message_ids(self.message_id).next();
        let others: Vec<_> =
            message_ids(self.references).chain(message_ids(self.in_reply_to)).collect();
        let recent = others.get(others.len().saturating_sub(MAX_IDS - 1)..).unwrap_or_default();
        let mut seen = std::collections::HashSet::new();
        own.into_iter().chain(recent.iter().copied()).filter(|id| seen.insert(*id)).collect()
    }
}

/// What stands between `<` and `>`, without white space inside (RFC 5322 section 3.6.4).
fn message_ids(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|c| *c == b'<').skip(1).filter_map(|rest| {
        let id = rest.split(|c| *c == b'>').next()?;
        let closed = id.len() < rest.len();
        (closed && !id.is_empty() && !id.iter().any(u8::is_ascii_whitespace)).then_some(id)
    })
}

/// The base subject (RFC 5256 section 2.1) of a raw Subject field, in lower case.
fn base_subject(raw: &[u8]) -> String {
    let mut line = raw.get(..MAX_SUBJECT).unwrap_or(raw).to_vec();
    line.push(b'\n');
    let decoded = MessageStream::new(&line).parse_unstructured();
    let decoded = decoded.as_text().unwrap_or_default();
    let words: Vec<_> = decoded.split_whitespace().collect();
    strip(&words.join(" ").to_lowercase()).to_owned()
}

/// Steps 2 to 6 of the algorithm, until nothing changes.
fn strip(mut subject: &str) -> &str {
    loop {
        let before = subject;
        subject = subject.trim();
        subject = subject.strip_suffix("(fwd)").unwrap_or(subject).trim_end();
        subject = without_leader(subject);
        subject = without_blob(subject);
        if let Some(inner) = subject.strip_prefix("[fwd:").and_then(|s| s.strip_suffix(']')) {
            subject = inner;
        }
        if subject == before {
            return subject;
        }
    }
}

/// subj-refwd: `re`, `fw` or `fwd`, perhaps a blob, a colon; blobs may stand before it.
fn without_leader(subject: &str) -> &str {
    let mut rest = subject;
    while let Some(behind) = after_blob(rest) {
        rest = behind;
    }
    let Some(rest) = ["re", "fwd", "fw"].iter().find_map(|word| rest.strip_prefix(word)) else {
        return subject;
    };
    let rest = rest.trim_start();
    let rest = after_blob(rest).unwrap_or(rest);
    rest.strip_prefix(':').map_or(subject, str::trim_start)
}

/// subj-blob goes when something else stays.
fn without_blob(subject: &str) -> &str {
    after_blob(subject).filter(|rest| !rest.is_empty()).unwrap_or(subject)
}

/// What stands behind `[...]`, if the text begins so.
fn after_blob(text: &str) -> Option<&str> {
    let (inside, rest) = text.strip_prefix('[')?.split_once(']')?;
    (!inside.contains('[')).then(|| rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_subjects() {
        for (raw, base) in [
            ("Hello", "hello"),
            ("Re: [list] Fwd: Hello  World (fwd)", "hello world"),
            ("[Fwd: Re[2]: Hello]", "hello"),
            ("[list]", "[list]"),
            ("=?utf-8?q?R=C3=A9ponse?=", "réponse"),
            ("Re: =?utf-8?B?UmU6IEhlbGxv?=", "hello"),
            ("Reply to all", "reply to all"),
            ("", ""),
        ] {
            assert_eq!(base_subject(raw.as_bytes()), base, "{raw}");
        }
    }

    #[test]
    fn ids_each_once_the_own_first() {
        let ids = Ids {
            message_id: b" <own@x>",
            in_reply_to: b"<b@x> (comment)",
            references: b" <a@x>\r\n <b@x> <own@x> <broken <c d>",
        };
        assert_eq!(ids.all(), [&b"own@x"[..], b"a@x", b"b@x"]);
    }

    #[test]
    fn of_many_ids_the_own_and_the_last_count() {
        let many: String = (0..500).map(|n| format!("<{n}@x> ")).collect();
        let ids = Ids { message_id: b"<own>", references: many.as_bytes(), ..Ids::default() };
        let all = ids.all();
        assert_eq!(all.len(), MAX_IDS);
        assert_eq!((all.first(), all.last()), (Some(&&b"own"[..]), Some(&&b"499@x"[..])));
    }

    #[test]
    fn hashes_depend_on_the_secret_and_on_every_part() {
        let one = KeyedHashes::new(&ShardSecret([1; 32]));
        let two = KeyedHashes::new(&ShardSecret([2; 32]));
        let ids = Ids { message_id: b"<a>", ..Ids::default() };
        assert_eq!(one.thread(ids, b"Re: x"), one.thread(ids, b"X"));
        assert_ne!(one.thread(ids, b"x"), two.thread(ids, b"x"));
        let delivery = one.delivery("a", "bc", &[0; 32]);
        assert_eq!(delivery, one.delivery("a", "BC", &[0; 32]));
        assert_ne!(delivery, one.delivery("ab", "c", &[0; 32]));
        assert_ne!(delivery, one.delivery("a", "bc", &[1; 32]));
    }
}

//! Keyed hashes: what threads a message (RFC 8621 section 3), and what makes an
//! MTA's retry known. Computed once, outside `apply`, under the shard's secret,
//! so that the log holds no subject and no correspondent.

use redoubt_log::id::{OperationId, ThreadKey};
use redoubt_log::record::ThreadKeys;

use crate::mailstore::ShardSecret;
use crate::mime::ThreadInputs;

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

    /// What threads a message, hashed.
    pub(crate) fn thread(&self, inputs: &ThreadInputs) -> ThreadKeys {
        let key = |id: &Vec<u8>| ThreadKey(short(&self.message_id, &[id]));
        ThreadKeys {
            message_ids: inputs.message_ids.iter().map(key).collect(),
            subject: ThreadKey(short(&self.subject, &[&inputs.base_subject])),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::thread_inputs;

    #[test]
    fn hashes_depend_on_the_secret_and_on_every_part() {
        let one = KeyedHashes::new(&ShardSecret([1; 32]));
        let two = KeyedHashes::new(&ShardSecret([2; 32]));
        let reply = thread_inputs(b"Message-ID: <b@x>\r\nIn-Reply-To: <a@x>\r\nSubject: Re: X\r\n");
        let first = thread_inputs(b"Message-ID: <a@x>\r\nSubject: X\r\n");
        let (reply_keys, first_keys) = (one.thread(&reply), one.thread(&first));
        assert_eq!(reply_keys.subject, first_keys.subject);
        assert_eq!(reply_keys.message_ids.last(), first_keys.message_ids.first());
        assert_ne!(first_keys, two.thread(&first));
        let delivery = one.delivery("a", "bc", &[0; 32]);
        assert_eq!(delivery, one.delivery("a", "BC", &[0; 32]));
        assert_ne!(delivery, one.delivery("ab", "c", &[0; 32]));
        assert_ne!(delivery, one.delivery("a", "bc", &[1; 32]));
    }
}

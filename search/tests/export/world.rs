//! A small log of deliveries, and exports of it.

use std::path::{Path, PathBuf};

use base64::Engine;
use jiff::tz::TimeZone;
use redoubt_log::chain::{self, Grove};
use redoubt_log::codec::encode_record;
use redoubt_log::id::*;
use redoubt_log::record::*;
use redoubt_search::export::{
    About, AttachmentText, Export, ExportError, Form, Item, NoText, Report, Trust, verify,
};
use redoubt_search::heads::prover::Proof;
use redoubt_search::heads::{Checkpoint, Consistency, Proven, PublicKey, SignedHead, Signer};

pub(crate) const LINEAGE: &str = "00112233445566778899aabbccddeeff";
pub(crate) const JOB: OperationId = OperationId([7; 16]);

/// A log in memory.
#[derive(Default)]
pub(crate) struct Log {
    grove: Grove,
    leaves: Vec<Hash>,
    payloads: Vec<Vec<u8>>,
}

impl Log {
    pub(crate) fn push(&mut self, change: Change) -> u64 {
        let record = Record {
            stamp: Timestamp(0),
            operation: OperationId([1; 16]),
            actor: Actor::SYSTEM,
            why: Why::default(),
            change,
        };
        let payload = [vec![9; 16], encode_record(&record).unwrap()].concat();
        let index = self.leaves.len() as u64;
        let content = chain::content(&payload);
        let leaf = chain::leaf(Term(1), LogIndex(index), 2, Timestamp(5), &content);
        self.grove.push(leaf);
        self.leaves.push(leaf);
        self.payloads.push(payload);
        index
    }

    /// What shows that its first `old` leaves are its beginning, under a head of all.
    pub(crate) fn consistency(&self, old: u64, signer: &Signer) -> Consistency {
        let all = &self.leaves;
        let mut of = |range: std::ops::Range<u64>| {
            let range: std::ops::Range<usize> =
                range.start.try_into().unwrap()..range.end.try_into().unwrap();
            Ok::<_, ()>(all[range].to_vec())
        };
        let path = self.grove.consistency(old, all.len() as u64, &mut of).unwrap().unwrap();
        Consistency { old, path, head: signer.sign(self.head()) }
    }

    pub(crate) fn head(&self) -> Checkpoint {
        let size = self.leaves.len() as u64;
        let root = chain::root_of(&self.leaves);
        Checkpoint::new(LINEAGE, size, root, LogIndex(size - 1), Timestamp(5))
    }

    pub(crate) fn prove(&self, index: u64) -> Proven {
        let all = &self.leaves;
        let mut of = |range: std::ops::Range<u64>| {
            let range = range.start.try_into().unwrap()..range.end.try_into().unwrap();
            let range: std::ops::Range<usize> = range;
            Ok::<_, ()>(all[range].to_vec())
        };
        let path = self.grove.inclusion(index, all.len() as u64, &mut of).unwrap().unwrap();
        let payload = &self.payloads[usize::try_from(index).unwrap()];
        let payload = base64::engine::general_purpose::STANDARD.encode(payload);
        let proof = Proof {
            term: 1,
            kind: 2,
            time: 5,
            position: index,
            payload: Some(payload),
            content: None,
            path,
        };
        Proven { index, proof: Some(proof), unproven: None }
    }
}

pub(crate) fn delivered(octets: &[u8], account: u64) -> Change {
    let blob = BlobId(*blake3::hash(octets).as_bytes());
    let size = octets.len() as u64;
    let recipient = Recipient {
        account: AccountId(account),
        mailbox: MailboxId(1),
        operation: None,
        flags: Flags::NONE,
        keywords: Vec::new(),
    };
    Change::Deliver(Deliver {
        message: Message { blob, original: blob, size, thread: ThreadKeys::default() },
        received: Timestamp(1_700_000_000_000),
        envelope: BlobId([3; 32]),
        recipients: vec![recipient],
    })
}

pub(crate) fn about(form: Form) -> About {
    About {
        program: "redoubt 0.1.0".into(),
        form,
        lineage: LINEAGE.into(),
        job: JOB.to_string(),
        search: OperationId([6; 16]).to_string(),
        query: "invoice".into(),
        scope: vec!["--all".into()],
        accounts: 2,
        which: "both".into(),
        pinned: 8,
        pinned_time: "2026-11-20T00:00:00Z".into(),
        as_of: 8,
        actor: "uid 0".into(),
        reason: Some("case 7".into()),
        begun: "2026-11-22T00:00:00Z".into(),
        time_zone: "UTC".into(),
        extractor: 0,
        without_records: false,
    }
}

pub(crate) fn item(octets: &[u8], account: u64, record: u64) -> Item {
    let hash = blake3::hash(octets).to_hex().to_string();
    let name = if account == 1 { "alice@example.org" } else { "b/ob@example.org" };
    Item {
        account: name.into(),
        account_id: account,
        custodians: vec![name.into()],
        email_id: format!("e{record:x}-0"),
        thread_id: format!("t{record:x}-0"),
        mailbox: "INBOX".into(),
        uid: u32::try_from(record).unwrap() + 1,
        received: "2023-11-14T22:13:20Z".into(),
        size: octets.len() as u64,
        blob: hash.clone(),
        original: hash,
        envelope: Some(serde_json::json!({"sender": "x@y", "recipients": [name]})),
        records: vec![record],
        ..Item::default()
    }
}

/// Messages that are hard to keep as they are.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    let plain = "From: A <a@example.org>\r\nTo: b@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
                 Date: Tue, 14 Nov 2023 22:13:20 +0100\r\nMessage-ID: <1@x>\r\n\r\n\
                 From here on\r\n>From there\r\n\r\nFrom x\r\n";
    let unix = "Subject: =1+1\nFrom: c@example.org\n\nlines end so\nFrom\n\n";
    let bare = "Subject: no end\r\n\r\nno end of line";
    let mixed = "Subject: two parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
                 --b\r\nContent-Type: text/plain\r\n\r\nsee the file\r\n--b\r\n\
                 Content-Type: application/pdf; name=\"a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\
                 Content-Disposition: attachment; filename=\"a.pdf\"\r\n\r\nJVBERg==\r\n--b--\r\n";
    let octets = [b"Subject: octets\r\n\r\n".as_slice(), &(0..=255).collect::<Vec<u8>>()].concat();
    let texts = [plain, unix, bare, mixed, ""].map(|text| text.as_bytes().to_vec());
    texts.into_iter().chain([octets]).collect()
}

/// An export that was made, and what it was made of.
pub(crate) struct Made {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) dir: PathBuf,
    pub(crate) signer: Signer,
    pub(crate) key: PublicKey,
    pub(crate) head: SignedHead,
    /// The log, up to the export's head.
    pub(crate) log: Log,
}

impl Made {
    pub(crate) fn new(form: Form) -> Self {
        Self::with(about(form), &messages(), &NoText)
    }

    /// Of these messages.
    pub(crate) fn with(about: About, messages: &[Vec<u8>], texts: &dyn AttachmentText) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        let signer = Signer::load_or_make(folder.path(), LINEAGE).unwrap();
        let dir = folder.path().join("out");
        let log = write(&dir, about, messages, texts, &signer);
        let (key, head) = (signer.public().clone(), signer.sign(log.head()));
        Self { folder, dir, signer, key, head, log }
    }

    pub(crate) fn check(&self, trust: &Trust) -> Report {
        verify(&self.dir, trust, &mut |_| {}).unwrap()
    }

    pub(crate) fn by_key(&self) -> Report {
        self.check(&Trust::Keys(vec![self.key.clone()]))
    }
}

/// Two accounts, each with half of the messages, and one email that could not be read.
pub(crate) fn write(
    dir: &Path,
    about: About,
    messages: &[Vec<u8>],
    texts: &dyn AttachmentText,
    signer: &Signer,
) -> Log {
    let mut log = Log::default();
    let half = messages.len().div_ceil(2);
    let mut export = Export::begin(dir, about, TimeZone::UTC).unwrap();
    for (n, octets) in messages.iter().enumerate() {
        let account = if n < half { 1 } else { 2 };
        let record = log.push(delivered(octets, account));
        log.push(delivered(b"somebody else's", 9));
        let received = Timestamp(1_700_000_000_000);
        export.email(item(octets, account, record), received, octets, texts).unwrap();
    }
    export.failed("b/ob@example.org", "e77-0", "damaged", "its blob does not hash right").unwrap();
    ended(export, log, signer, dir)
}

/// The end of an export: the record of its manifest, and its proof.
pub(crate) fn ended(export: Export, mut log: Log, signer: &Signer, dir: &Path) -> Log {
    let closed = export.finish(0).unwrap();
    let counts = closed.counts();
    let end = log.push(Change::DiscoveryEnd(DiscoveryEnd {
        job: JOB,
        found: counts.exported,
        failed: counts.failed,
        ended: DiscoveryEnded::Completed,
        manifest: Some(closed.manifest()),
    }));
    let head = signer.sign(log.head());
    let proven = |index| Ok::<_, ExportError>(log.prove(index));
    let whole = closed.prove(&head, end, proven).unwrap();
    assert_eq!((whole.unproven(), whole.publish().unwrap()), (0, dir.to_owned()));
    log
}

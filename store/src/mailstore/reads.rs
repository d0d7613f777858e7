//! Who looked at mail of others, and who logged in, go into the log: the one before anything is
//! shown, the other in batches beside logins that wait for nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Weak;
use std::time::Duration;

use parking_lot::Mutex;
use redoubt_log::id::{AccountId, OperationId, Timestamp};
use redoubt_log::record::{
    Actor, Change, LoginCount, LoginProtocol, Logins, MAX_LOGINS, MailRead, MailReadHow,
};

use super::{AuthError, Inner, Mailstore, WriteError};

/// From which level on there are such records.
const LEVEL: u32 = 3;

/// What an administrator is about to look at.
#[derive(Debug, Clone)]
pub struct ReadAsked {
    /// Whose mail.
    pub account: AccountId,
    /// How.
    pub how: MailReadHow,
    /// What was asked, with the reason, as JSON.
    pub asked: Vec<u8>,
}

impl Mailstore {
    /// Puts into the log that somebody looks at an account's mail. A cluster below level 3 has
    /// no such records, and looks without.
    ///
    /// # Errors
    /// [`WriteError`]: then nothing may be shown.
    pub async fn mail_is_read(&self, actor: &Actor, asked: ReadAsked) -> Result<(), WriteError> {
        self.inner.mail_is_read(actor, asked).await
    }
}

impl Inner {
    async fn mail_is_read(&self, actor: &Actor, asked: ReadAsked) -> Result<(), WriteError> {
        if self.local_view()?.level()? < LEVEL {
            return Ok(());
        }
        // What is found here stays until the record that names it is applied.
        let _using = self.blobs.using();
        let ReadAsked { account, how, asked: text } = asked;
        let ingest = self.ingest.clone();
        let asked = self.work(move || ingest.salted(&text)).await??;
        let change = Change::MailRead(MailRead { account, how, asked });
        self.propose(actor, OperationId::random(), change).await.map(drop)
    }

    /// Puts what was counted into the log; what is not taken is counted on.
    pub(super) async fn record_logins(&self) {
        let level = self.local_view().and_then(|view| view.level());
        if level.unwrap_or(0) < LEVEL {
            return;
        }
        let Some(taken) = self.logins.take() else { return };
        let logins = taken.record(self.identity.node);
        let change = Change::Logins(logins);
        if let Err(error) = self.propose(&Actor::SYSTEM, OperationId::random(), change).await {
            tracing::debug!(%error, "logins are put into the log later");
            self.logins.back(taken);
        }
    }
}

/// Puts logins into the log, for as long as the store is there.
pub(super) async fn run(store: Weak<Inner>, every: Duration) {
    while !every.is_zero() {
        tokio::time::sleep(every).await;
        let Some(inner) = store.upgrade() else { return };
        inner.record_logins().await;
    }
}

type Who = (Option<AccountId>, Option<IpAddr>, LoginProtocol);

/// Logins since the last record: at most [`MAX_LOGINS`] different ones, the rest only counted.
#[derive(Debug)]
pub(super) struct LoginCounts {
    wanted: bool,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    since: Option<Timestamp>,
    until: Timestamp,
    counts: HashMap<Who, (u32, u32, Timestamp)>,
    left_out: u64,
}

/// What is on its way into the log.
#[derive(Debug)]
pub(super) struct Taken(Counted);

impl LoginCounts {
    /// None is counted where none is ever recorded.
    pub(super) fn new(every: Duration) -> Self {
        Self { wanted: !every.is_zero(), counted: Mutex::default() }
    }

    /// Counts a login; what the store could not answer is none.
    pub(super) fn note<T>(
        &self,
        account: Option<AccountId>,
        from: Option<IpAddr>,
        came: &Result<T, AuthError>,
    ) {
        let good = match came {
            _ if !self.wanted => return,
            Ok(_) => true,
            Err(AuthError::Store(_)) => return,
            Err(_) => false,
        };
        let one = (u32::from(good), u32::from(!good), Timestamp::now());
        self.counted.lock().add((account, from, LoginProtocol::Imap), one);
    }

    fn take(&self) -> Option<Taken> {
        let mut counted = self.counted.lock();
        counted.since?;
        Some(Taken(std::mem::take(&mut *counted)))
    }

    fn back(&self, Taken(older): Taken) {
        let mut counted = self.counted.lock();
        counted.since = older.since.or(counted.since);
        counted.left_out = counted.left_out.saturating_add(older.left_out);
        for (who, count) in older.counts {
            counted.add(who, count);
        }
    }
}

impl Counted {
    fn add(&mut self, who: Who, (good, failed, last): (u32, u32, Timestamp)) {
        self.since.get_or_insert(last);
        self.until = self.until.max(last);
        if self.counts.len() >= MAX_LOGINS && !self.counts.contains_key(&who) {
            let count = u64::from(good) + u64::from(failed);
            self.left_out = self.left_out.saturating_add(count);
            return;
        }
        let count = self.counts.entry(who).or_default();
        count.0 = count.0.saturating_add(good);
        count.1 = count.1.saturating_add(failed);
        count.2 = count.2.max(last);
    }
}

impl Taken {
    fn record(&self, node: redoubt_log::id::NodeId) -> Logins {
        let Self(counted) = self;
        let line = |(who, count): (&Who, &(u32, u32, Timestamp))| LoginCount {
            account: who.0,
            from: who.1,
            protocol: who.2,
            good: count.0,
            failed: count.1,
            last: count.2,
        };
        let mut counts: Vec<LoginCount> = counted.counts.iter().map(line).collect();
        counts.sort_unstable_by_key(|count| (count.account, count.from));
        Logins {
            node,
            since: counted.since.unwrap_or(counted.until),
            until: counted.until,
            counts,
            left_out: counted.left_out,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use redoubt_log::id::NodeId;

    use super::*;

    #[test]
    fn logins_are_counted_and_memory_is_bounded() {
        let logins = LoginCounts::new(Duration::from_secs(1));
        assert!(logins.take().is_none());
        let here = Some("127.0.0.1".parse().unwrap());
        for _ in 0..3 {
            logins.note(Some(AccountId(1)), here, &Ok(()));
        }
        logins.note(Some(AccountId(1)), here, &Err::<(), _>(AuthError::Denied));
        for n in 0..2000 {
            logins.note::<()>(
                None,
                Some(IpAddr::from([10, 0, (n / 256) as u8, n as u8])),
                &Err(AuthError::Denied),
            );
        }
        let taken = logins.take().unwrap();
        let record = taken.record(NodeId(1));
        assert_eq!((record.counts.len(), record.left_out), (MAX_LOGINS, 1001));
        let own = record.counts.iter().find(|count| count.account.is_some()).unwrap();
        assert_eq!((own.good, own.failed), (3, 1));
        logins.note(Some(AccountId(1)), here, &Ok(()));
        logins.back(taken);
        let again = logins.take().unwrap().record(NodeId(1));
        let own = again.counts.iter().find(|count| count.account.is_some()).unwrap();
        assert_eq!((own.good, own.failed, again.since), (4, 1, record.since));
        assert_eq!((again.counts.len(), again.left_out), (MAX_LOGINS, 1001));
        let bytes = redoubt_log::codec::to_bytes(&again).unwrap();
        assert!(bytes.len() < redoubt_log::record::MAX_RECORD_BYTES / 2, "{}", bytes.len());
    }
}

//! Passwords: argon2id (RFC 9106) off the tokio workers, the same work for users
//! that do not exist, back-off on failures, and a short memory of what was verified.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::mailstore::{AuthError, StoreError};

mod backoff;
mod password;
mod verified;

use backoff::{Backoff, Verdict};
pub(crate) use verified::Fingerprint;
use verified::Verified;

/// Longer passwords are refused unread.
pub const MAX_PASSWORD: usize = 1024;

/// What a login name stands for, as read from one view.
#[derive(Debug, Clone, Default)]
pub(crate) struct Candidate {
    /// Which account; 0 for none.
    pub(crate) account: u64,
    /// Its passwords as PHC strings, the main one first; none for a name that is nobody's.
    pub(crate) phcs: Vec<String>,
}

/// Checks passwords for one node.
#[derive(Debug)]
pub(crate) struct Authenticator {
    backoff: Mutex<Backoff>,
    verified: Mutex<Verified>,
    /// Argon2 in flight: each takes a processor and 19 MiB for some 20 ms.
    slots: Arc<Semaphore>,
    /// For argon2.
    memory: Arc<password::Memory>,
    /// Verified against for names that do not exist.
    decoy: String,
}

impl Authenticator {
    /// Takes some 20 ms: the decoy is hashed here.
    pub(crate) fn new() -> Result<Self, StoreError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            backoff: Mutex::default(),
            verified: Mutex::default(),
            slots: Arc::new(Semaphore::new(threads)),
            memory: Arc::default(),
            decoy: password::hash(&rand::random::<[u8; 16]>())?,
        })
    }

    /// The one of the candidate's passwords that this is. The name is as it was typed.
    pub(crate) async fn verify(
        &self,
        name: &str,
        candidate: Candidate,
        given: &[u8],
        from: Option<IpAddr>,
    ) -> Result<Fingerprint, AuthError> {
        if let Some(known) = self.remembers(&candidate, given) {
            return Ok(known);
        }
        self.wait_turn(name, from).await?;
        if given.len() > MAX_PASSWORD {
            return self.denied(name, from);
        }
        match self.matching(&candidate, given).await? {
            Some(phc) => {
                self.backoff.lock().succeeded(name, from);
                let mut verified = self.verified.lock();
                Ok(verified.remember(candidate.account, given, &phc, Instant::now()))
            }
            None => self.denied(name, from),
        }
    }

    /// A PHC string for a new password.
    pub(crate) async fn hash(&self, given: Vec<u8>) -> Result<String, StoreError> {
        self.slot(move || password::hash(&given)).await?
    }

    fn remembers(&self, candidate: &Candidate, given: &[u8]) -> Option<Fingerprint> {
        let now = Instant::now();
        self.verified.lock().holds(candidate.account, given, &candidate.phcs, now)
    }

    async fn wait_turn(&self, name: &str, from: Option<IpAddr>) -> Result<(), AuthError> {
        let verdict = self.backoff.lock().attempt(name, from, Instant::now());
        match verdict {
            Verdict::Go => Ok(()),
            Verdict::Wait(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Verdict::Refuse => Err(AuthError::TooMany),
        }
    }

    fn denied<T>(&self, name: &str, from: Option<IpAddr>) -> Result<T, AuthError> {
        self.backoff.lock().failed(name, from, Instant::now());
        Err(AuthError::Denied)
    }

    async fn matching(
        &self,
        candidate: &Candidate,
        given: &[u8],
    ) -> Result<Option<String>, StoreError> {
        let mut phcs = candidate.phcs.clone();
        let nobody = phcs.is_empty();
        if nobody {
            phcs.push(self.decoy.clone());
        }
        let given = given.to_vec();
        let memory = self.memory.clone();
        let verify = move || phcs.into_iter().find(|phc| password::verify(phc, &given, &memory));
        let found = self.slot(verify).await?;
        Ok(found.filter(|_| !nobody))
    }

    async fn slot<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let stopped = || StoreError::Stopped("the node is shutting down".to_owned());
        let permit = self.slots.clone().acquire_owned().await.map_err(|_| stopped())?;
        let run = move || {
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(run).await.map_err(|_| stopped())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn candidate(passwords: &[&str]) -> Candidate {
        let phcs = passwords.iter().map(|p| password::hash(p.as_bytes()).unwrap()).collect();
        Candidate { account: 7, phcs }
    }

    #[tokio::test(start_paused = true)]
    async fn right_and_wrong_passwords() {
        let auth = Authenticator::new().unwrap();
        let alice = candidate(&["one", "app"]);
        for right in ["one", "app", "app"] {
            auth.verify("alice", alice.clone(), right.as_bytes(), None).await.unwrap();
        }
        let wrong = auth.verify("alice", alice, b"two", None).await;
        assert!(matches!(wrong, Err(AuthError::Denied)));
        let nobody = auth.verify("bob", Candidate::default(), b"one", None).await;
        assert!(matches!(nobody, Err(AuthError::Denied)));
        let long = auth.verify("bob", candidate(&["x"]), &[b'x'; MAX_PASSWORD + 1], None).await;
        assert!(matches!(long, Err(AuthError::Denied)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_password_is_not_remembered() {
        let auth = Authenticator::new().unwrap();
        auth.verify("alice", candidate(&["one"]), b"one", None).await.unwrap();
        let changed = auth.verify("alice", candidate(&["two"]), b"one", None).await;
        assert!(matches!(changed, Err(AuthError::Denied)));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_wait_and_then_are_refused_until_time_goes_by() {
        let auth = Authenticator::new().unwrap();
        let begun = Instant::now();
        let mut refused = false;
        for _ in 0..backoff::REFUSE_PAIR + 1 {
            let nobody = auth.verify("eve", Candidate::default(), b"guess", None).await;
            refused = matches!(nobody, Err(AuthError::TooMany));
        }
        assert!(refused);
        assert!(begun.elapsed() > backoff::LONGEST_WAIT);
        tokio::time::advance(backoff::FORGET).await;
        auth.verify("eve", candidate(&["right"]), b"right", None).await.unwrap();
    }
}

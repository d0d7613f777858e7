//! Argon2id and its PHC strings.

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::Mutex;

use crate::mailstore::StoreError;

/// KiB of memory, rounds and lanes: OWASP's choice for servers, of the strength of RFC 9106.
const MEMORY: u32 = 19 * 1024;
const ROUNDS: u32 = 2;
const LANES: u32 = 1;
/// An imported hash that costs more is refused: it would be a way to stop the node.
const MAX_MEMORY: u32 = 1024 * 1024;
const MAX_WORK: u64 = 16 * MAX_MEMORY as u64;

/// A PHC string with a new salt. Takes some 20 ms.
pub(super) fn hash(password: &[u8]) -> Result<String, StoreError> {
    let failed = |what: String| StoreError::Stopped(format!("argon2 failed: {what}"));
    let params =
        Params::new(MEMORY, ROUNDS, LANES, None).map_err(|error| failed(error.to_string()))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(password)
        .map(|phc| phc.to_string())
        .map_err(|error| failed(error.to_string()))
}

/// Memory that verifications use one after the other. Some 19 MiB that come and go
/// with each login leave holes which the allocator does not give back.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Vec<Vec<Block>>>);

impl Memory {
    /// As many are kept as verify at one time, up to these.
    const KEPT: usize = 4;

    fn with<T>(&self, use_it: impl FnOnce(&mut Vec<Block>) -> T) -> T {
        let mut blocks = self.0.lock().pop().unwrap_or_default();
        let result = use_it(&mut blocks);
        let mut kept = self.0.lock();
        if kept.len() < Self::KEPT && blocks.len() <= MEMORY as usize {
            kept.push(blocks);
        }
        result
    }
}

/// Whether the password fits; a PHC string that does not read, or costs too much, fits nothing.
pub(super) fn verify(phc: &str, password: &[u8], memory: &Memory) -> bool {
    let Ok(parsed) = PasswordHash::new(phc) else { return false };
    affordable(&parsed) && memory.with(|blocks| fits(&parsed, password, blocks)).unwrap_or(false)
}

fn fits(phc: &PasswordHash, password: &[u8], memory: &mut Vec<Block>) -> Option<bool> {
    let (salt, wanted) = (phc.salt?, phc.hash?);
    let algorithm = Algorithm::try_from(phc.algorithm.as_str()).ok()?;
    let version = phc.version.map(Version::try_from).transpose().ok()?.unwrap_or_default();
    let params = Params::try_from(phc).ok()?;
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::new());
    }
    let mut out = [0; Output::MAX_LENGTH];
    let out = out.get_mut(..wanted.len())?;
    let argon2 = Argon2::new(algorithm, version, params);
    let memory = memory.get_mut(..blocks)?;
    argon2.hash_password_into_with_memory(password, salt.as_ref(), out, memory).ok()?;
    // Compared in constant time.
    Some(Output::new(out).ok()? == wanted)
}

fn affordable(phc: &PasswordHash) -> bool {
    Params::try_from(phc).is_ok_and(|params| {
        params.m_cost() <= MAX_MEMORY
            && u64::from(params.m_cost()) * u64::from(params.t_cost()) <= MAX_WORK
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_hash_verifies_and_is_salted() {
        let (one, two) = (hash(b"secret").unwrap(), hash(b"secret").unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        let memory = Memory::default();
        let verify = |phc: &str, password: &[u8]| verify(phc, password, &memory);
        assert!(verify(&one, b"secret") && verify(&two, b"secret"));
        assert!(!verify(&one, b"Secret") && !verify("", b"") && !verify("$x$y", b""));
        assert!(verify(&one, b"secret"));
        assert_eq!(memory.0.lock().len(), 1);
    }

    #[test]
    fn memory_used_before_changes_nothing() {
        // Of other costs, so that each finds what another left.
        let memory = Memory::default();
        for (memory_cost, rounds, lanes) in [(64, 1, 1), (4096, 3, 2), (256, 2, 4), (64, 1, 1)] {
            let params = Params::new(memory_cost, rounds, lanes, None).unwrap();
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let phc = argon2.hash_password(b"secret").unwrap().to_string();
            assert!(verify(&phc, b"secret", &memory), "{phc}");
            assert!(!verify(&phc, b"Secret", &memory), "{phc}");
        }
    }

    #[test]
    fn a_hash_that_would_stop_the_node_is_refused() {
        let dear = "$argon2id$v=19$m=4194304,t=9,p=1$c2FsdHNhbHRzYWx0$\
                    aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
        assert!(!verify(dear, b"x", &Memory::default()));
    }
}

//! Argon2id and its PHC strings.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

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

/// Whether the password fits; a PHC string that does not read, or costs too much, fits nothing.
pub(super) fn verify(phc: &str, password: &[u8]) -> bool {
    let Ok(parsed) = PasswordHash::new(phc) else { return false };
    affordable(&parsed) && Argon2::default().verify_password(password, &parsed).is_ok()
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
        assert!(verify(&one, b"secret") && verify(&two, b"secret"));
        assert!(!verify(&one, b"Secret") && !verify("", b"") && !verify("$x$y", b""));
    }

    #[test]
    fn a_hash_that_would_stop_the_node_is_refused() {
        let dear = "$argon2id$v=19$m=4194304,t=9,p=1$c2FsdHNhbHRzYWx0$\
                    aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
        assert!(!verify(dear, b"x"));
    }
}

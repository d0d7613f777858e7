//! What an operator carries from a member to a new node: one line of text that
//! admits one node once.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use redoubt_log::id::Hash;

use super::Fingerprint;

const PREFIX: &str = "redoubt-join-";
const LINEAGE: usize = 16;
const SECRET: usize = 16;
const CHECK: usize = 4;
const LENGTH: usize = 32 + LINEAGE + SECRET + CHECK;

/// The authority's fingerprint, the cluster's lineage, and a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// By which the joiner knows that it speaks to the right cluster.
    pub authority: Fingerprint,
    /// Which cluster.
    pub lineage: String,
    /// By which the cluster knows that the joiner may.
    pub secret: [u8; SECRET],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(of {})", self.lineage)
    }
}

/// A text that is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no join token, or not all of it: `redoubt cluster token` prints one")]
pub struct TokenError;

impl Token {
    /// The name under which the log knows a secret.
    pub fn hash(secret: &[u8]) -> Hash {
        Hash(blake3::derive_key("redoubt 2026 join token", secret))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.authority.0.to_vec();
        bytes.extend(unhex(&self.lineage).unwrap_or_default());
        bytes.extend(self.secret);
        let check = blake3::hash(&bytes);
        bytes.extend(check.as_bytes().iter().take(CHECK));
        write!(f, "{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        Self::read(text.trim()).ok_or(TokenError)
    }
}

impl Token {
    fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix(PREFIX).filter(|text| text.len() < 2 * LENGTH)?;
        let bytes: [u8; LENGTH] = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (body, check) = bytes.split_last_chunk::<CHECK>()?;
        if !blake3::hash(body).as_bytes().starts_with(check) {
            return None;
        }
        let (authority, rest) = body.split_first_chunk()?;
        let (lineage, secret) = rest.split_first_chunk::<LINEAGE>()?;
        let lineage = lineage.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { authority: Fingerprint(*authority), lineage, secret: secret.try_into().ok()? })
    }
}

fn unhex(text: &str) -> Option<[u8; LINEAGE]> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 2 * LINEAGE)?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::string_slice)]
    use super::*;

    #[test]
    fn a_token_reads_back_and_half_of_one_does_not() {
        let token = Token {
            authority: Fingerprint([7; 32]),
            lineage: "00112233445566778899aabbccddeeff".into(),
            secret: [9; 16],
        };
        let text = token.to_string();
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token));
        for cut in 0..text.len() {
            assert_eq!(text[..cut].parse::<Token>(), Err(TokenError));
        }
        let mut wrong = text.clone();
        wrong.replace_range(20..21, if &text[20..21] == "A" { "B" } else { "A" });
        assert_eq!(wrong.parse::<Token>(), Err(TokenError));
        assert!(!format!("{:?}", text.parse::<Token>()).contains("9, 9"), "secrets stay inside");
    }
}

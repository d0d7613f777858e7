//! RFC 3161 time stamps: a request, and what is looked at of the answer. Pure.
//!
//! The answer is kept as it came, for `openssl ts -verify`. Here it is only held to what was
//! asked: granted, over this hash, with this nonce. Who signed it, whoever relies on it checks.

use sha2::{Digest, Sha256};
use yasna::models::ObjectIdentifier;
use yasna::{ASN1Error, construct_der, parse_der};

/// The most octets of an answer.
pub const MAX_ANSWER: usize = 256 * 1024;
/// DER's tag of INTEGER.
const INTEGER: u8 = 2;

/// Why an answer is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// It is no answer of a time stamping authority.
    #[error("the answer is no time stamp: {0}")]
    Unreadable(&'static str),
    /// It says no (PKIStatus, RFC 3161 section 2.4.2).
    #[error("the authority refused (status {0})")]
    Refused(i64),
    /// It is over something else.
    #[error("the time stamp is over another hash")]
    OtherHash,
    /// It answers another request.
    #[error("the time stamp has another nonce: it may be an old one")]
    OtherNonce,
}

impl From<ASN1Error> for StampError {
    fn from(_: ASN1Error) -> Self {
        Self::Unreadable("it is not DER")
    }
}

/// A request for a time stamp over some octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    hash: [u8; 32],
    nonce: u64,
}

impl Request {
    /// Over these octets, by SHA-256.
    pub fn over(octets: &[u8], nonce: u64) -> Self {
        // An INTEGER without a sign.
        Self { hash: Sha256::digest(octets).into(), nonce: nonce >> 1 | 1 }
    }

    /// TimeStampReq (RFC 3161 section 2.4.1), with the certificate wished for.
    pub fn der(&self) -> Vec<u8> {
        construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_i64(1);
                writer.next().write_sequence(|imprint| {
                    imprint.next().write_sequence(|algorithm| {
                        algorithm.next().write_oid(&oid(SHA256));
                        algorithm.next().write_null();
                    });
                    imprint.next().write_bytes(&self.hash);
                });
                writer.next().write_u64(self.nonce);
                writer.next().write_bool(true);
            });
        })
    }

    /// Whether an answer (TimeStampResp, RFC 3161 section 2.4.2) is to this request.
    ///
    /// # Errors
    /// [`StampError`].
    pub fn answered_by(&self, answer: &[u8]) -> Result<(), StampError> {
        let parts = children(answer)?;
        let status = children(part(&parts, 0)?)?;
        let status = parse_der(part(&status, 0)?, |reader| reader.read_i64())?;
        // Granted, or granted with modifications.
        if !(0..=1).contains(&status) {
            return Err(StampError::Refused(status));
        }
        let info = children(&info(part(&parts, 1)?)?)?;
        let imprint = children(part(&info, 2)?)?;
        let algorithm = children(part(&imprint, 0)?)?;
        let algorithm = parse_der(part(&algorithm, 0)?, |reader| reader.read_oid())?;
        let hash = parse_der(part(&imprint, 1)?, |reader| reader.read_bytes())?;
        if algorithm != oid(SHA256) || hash != self.hash {
            return Err(StampError::OtherHash);
        }
        // Behind genTime stand accuracy, ordering, nonce and more, each only perhaps.
        let behind = info.get(5..).unwrap_or_default();
        let nonce = behind.iter().find(|part| part.first() == Some(&INTEGER));
        let nonce = nonce.map(|nonce| parse_der(nonce, |reader| reader.read_u64())).transpose()?;
        match nonce == Some(self.nonce) {
            true => Ok(()),
            false => Err(StampError::OtherNonce),
        }
    }
}

const SHA256: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];
/// id-signedData (RFC 5652 section 5.1).
const SIGNED_DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 2];
/// id-ct-TSTInfo (RFC 3161 section 2.4.2).
const TST_INFO: &[u64] = &[1, 2, 840, 113_549, 1, 9, 16, 1, 4];

fn oid(numbers: &[u64]) -> ObjectIdentifier {
    ObjectIdentifier::from_slice(numbers)
}

/// The TSTInfo in a token: ContentInfo, SignedData, EncapsulatedContentInfo (RFC 5652).
fn info(token: &[u8]) -> Result<Vec<u8>, StampError> {
    let content = typed(token, SIGNED_DATA, "its token is not signed")?;
    let signed = children(&content)?;
    let octets = typed(part(&signed, 2)?, TST_INFO, "what is signed is no time stamp")?;
    Ok(parse_der(&octets, |reader| reader.read_bytes())?)
}

/// The content of a sequence of a type and an explicitly tagged `[0]`.
fn typed(der: &[u8], wanted: &[u64], wrong: &'static str) -> Result<Vec<u8>, StampError> {
    let parts = children(der)?;
    if parse_der(part(&parts, 0)?, |reader| reader.read_oid())? != oid(wanted) {
        return Err(StampError::Unreadable(wrong));
    }
    let tag = yasna::Tag::context(0);
    Ok(parse_der(part(&parts, 1)?, |reader| reader.read_tagged(tag, |inner| inner.read_der()))?)
}

fn children(der: &[u8]) -> Result<Vec<Vec<u8>>, StampError> {
    Ok(parse_der(der, |reader| reader.collect_sequence_of(|part| part.read_der()))?)
}

fn part(parts: &[Vec<u8>], n: usize) -> Result<&[u8], StampError> {
    parts.get(n).map(Vec::as_slice).ok_or(StampError::Unreadable("a part of it is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_der() {
        let der = Request::over(b"head", 5).der();
        // version 1, SHA-256 with NULL, the hash, nonce 3, certReq.
        let expected = [
            &[0x30, 0x3c, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86][..],
            &[0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20],
            &Sha256::digest(b"head"),
            &[0x02, 0x01, 0x03, 0x01, 0x01, 0xff],
        ];
        assert_eq!(der, expected.concat());
    }

    #[test]
    fn what_is_no_time_stamp_is_refused() {
        let request = Request::over(b"head", 5);
        for wrong in [&b""[..], b"<html>", &[0x30, 0x00], &[0x30, 0x80, 0, 0], &[0x30, 0x84, 255]] {
            assert!(matches!(request.answered_by(wrong), Err(StampError::Unreadable(_))));
        }
        let refused = construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_sequence(|status| status.next().write_i64(2));
            });
        });
        assert_eq!(request.answered_by(&refused), Err(StampError::Refused(2)));
    }
}

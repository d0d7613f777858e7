//! Messages that say what they are: a token that is in no other, and the hash of what follows, so
//! that octets can be judged without asking anybody.

use std::fmt::Write;

/// The line that a message says in what all its other octets hash to.
const SEAL: &str = "X-Redoubt-Seal: ";
/// Octets of a line of an attachment, before base64.
const LINE: usize = 57;

/// A message to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Make {
    /// What is in no other message.
    pub token: String,
    /// Octets of its text, about.
    pub text: usize,
    /// An attachment that many messages share: its number, and its octets.
    pub attachment: Option<(u32, usize)>,
}

/// A hash as 16 hexadecimal digits.
pub fn hash(octets: &[u8]) -> String {
    blake3::hash(octets).to_hex()[..16].to_string()
}

impl Make {
    /// Its octets: always the same ones.
    pub fn octets(&self) -> Vec<u8> {
        let rest = self.rest();
        let token = &self.token;
        let head = format!(
            "From: Sender <sender@example.net>\r\nTo: Reader <reader@example.org>\r\n\
             Subject: {token}\r\n"
        );
        let seal = hash(&[head.as_bytes(), rest.as_bytes()].concat());
        format!("{head}{SEAL}{seal}\r\n{rest}").into_bytes()
    }

    fn rest(&self) -> String {
        let token = &self.token;
        let mut rest = format!(
            "Message-ID: <{token}@example.net>\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\
             MIME-Version: 1.0\r\n"
        );
        let Some((number, size)) = self.attachment else {
            rest.push_str("\r\n");
            lines(&mut rest, token, self.text);
            return rest;
        };
        let _ = write!(
            rest,
            "Content-Type: multipart/mixed; boundary=\"=_{token}\"\r\n\r\n--=_{token}\r\n\
             Content-Type: text/plain\r\n\r\n"
        );
        lines(&mut rest, token, self.text);
        let _ = write!(
            rest,
            "--=_{token}\r\nContent-Type: application/octet-stream\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{}--=_{token}--\r\n",
            base64(&attachment(number, size))
        );
        rest
    }
}

fn lines(text: &mut String, token: &str, size: usize) {
    let mut line = 0;
    let end = text.len() + size;
    while text.len() < end {
        let _ = write!(text, "{token} line {line}: the quick brown fox\r\n");
        line += 1;
    }
}

/// Octets that do not compress well, the same for each number.
fn attachment(number: u32, size: usize) -> Vec<u8> {
    let mut octets = Vec::with_capacity(size + 32);
    let mut counter = 0_u32;
    while octets.len() < size {
        let block = [number.to_be_bytes(), counter.to_be_bytes()].concat();
        octets.extend_from_slice(blake3::hash(&block).as_bytes());
        counter += 1;
    }
    octets.truncate(size);
    octets
}

fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(octets.len() * 3 / 2);
    for line in octets.chunks(LINE) {
        for three in line.chunks(3) {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
            let bits = bits << (8 * (3 - three.len()));
            for digit in 0..4 {
                let index = (bits >> (18 - 6 * digit)) & 63;
                let known = digit <= three.len();
                text.push(if known { char::from(DIGITS[index as usize]) } else { '=' });
            }
        }
        text.push_str("\r\n");
    }
    text
}

/// The token of a message, as it was sent; what is wrong with it otherwise.
///
/// # Errors
/// It does not say what it is, or its octets are others than when it was made.
pub fn token(sent: &[u8]) -> Result<String, String> {
    let wrong =
        |what: &str| format!("{what}: {}", String::from_utf8_lossy(&sent[..sent.len().min(200)]));
    let field = |name: &str| {
        let at = find(sent, name.as_bytes())? + name.len();
        let line = sent.get(at..)?.split(|byte| *byte == b'\r').next()?;
        Some((at - name.len() + 2, String::from_utf8(line.to_vec()).ok()?, at + line.len() + 2))
    };
    let (_, token, _) = field("\r\nSubject: ").ok_or_else(|| wrong("no subject"))?;
    let (begin, seal, end) = field(&format!("\r\n{SEAL}")).ok_or_else(|| wrong("no seal"))?;
    let rest = sent.get(end..).unwrap_or_default();
    match hash(&[&sent[..begin], rest].concat()) {
        found if found == seal => Ok(token),
        found => Err(wrong(&format!("{token} hashes to {found}, not {seal}"))),
    }
}

fn find(octets: &[u8], what: &[u8]) -> Option<usize> {
    octets.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(attachment: Option<(u32, usize)>) -> Vec<u8> {
        Make { token: "m1-7".into(), text: 300, attachment }.octets()
    }

    #[test]
    fn a_message_says_what_it_is() {
        for attachment in [None, Some((3, 20_000))] {
            assert_eq!(token(&make(attachment)).unwrap(), "m1-7");
        }
        let whole = String::from_utf8(make(Some((3, 1_000)))).unwrap();
        assert!(whole.lines().all(|line| line.len() <= 78), "{whole}");
    }

    #[test]
    fn a_changed_octet_shows() {
        for at in [3, 80, 200, 400] {
            let mut octets = make(None);
            octets[at] ^= 1;
            token(&octets).unwrap_err();
        }
        let octets = make(None);
        token(&octets[..octets.len() - 1]).unwrap_err();
        token(b"").unwrap_err();
    }

    #[test]
    fn base64_is_as_in_rfc_4648() {
        for (octets, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(octets.as_bytes()).trim(), text);
        }
        assert_eq!(base64(b"foobar").trim(), "Zm9vYmFy");
    }
}

//! Dovecot's `dovecot-uidlist` (version 3): which UID each file of a Maildir has.

use std::collections::BTreeMap;

/// UIDs by the file's base name (the part before `:2,`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UidList {
    /// UIDVALIDITY of the mailbox, from the first line.
    pub uid_validity: Option<u32>,
    /// The UID of each base name.
    pub uids: BTreeMap<String, u32>,
}

/// Reads a uidlist.
///
/// # Errors
/// Names the line that does not read as one, or a UID that does not rise.
pub fn parse(text: &str) -> Result<UidList, String> {
    let mut lines = text.lines().enumerate();
    let (_, first) = lines.next().ok_or("the file is empty")?;
    let mut list = UidList { uid_validity: header(first)?, ..UidList::default() };
    let mut last = 0;
    for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let (uid, name) =
            entry(line).ok_or_else(|| format!("line {}: not a uid and a file", number + 1))?;
        if uid <= last {
            return Err(format!("line {}: UID {uid} does not rise", number + 1));
        }
        last = uid;
        list.uids.insert(base_name(name).to_string(), uid);
    }
    Ok(list)
}

/// `3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1`
fn header(line: &str) -> Result<Option<u32>, String> {
    let mut words = line.split(' ');
    match words.next() {
        Some("3") => Ok(words.find_map(|word| word.strip_prefix('V')?.parse().ok())),
        other => Err(format!("line 1: version {other:?} is not 3")),
    }
}

/// `25006 W39 S22 :1276528487.M364837P9451.kurkku,S=1355,W=1394`
fn entry(line: &str) -> Option<(u32, &str)> {
    let (fields, name) = line.split_once(" :")?;
    let uid = fields.split(' ').next()?.parse().ok()?;
    Some((uid, name))
}

/// A Maildir file name without its flags.
pub fn base_name(name: &str) -> &str {
    name.split_once(":2,").map_or(name, |(base, _)| base)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_list_reads() {
        let text = "3 V127 N9 Gabc\n5 W39 :1.M1.host,S=3:2,S\n8 :2.M2.host\n";
        let list = parse(text).unwrap();
        assert_eq!(list.uid_validity, Some(127));
        assert_eq!(list.uids.get("1.M1.host,S=3"), Some(&5));
        assert_eq!(list.uids.get("2.M2.host"), Some(&8));
    }

    #[test]
    fn what_does_not_read_is_named() {
        for (text, expected) in [
            ("", "empty"),
            ("1 V1", "version"),
            ("3 V1\nx", "line 2"),
            ("3 V1\n5 :a\n5 :b", "line 3: UID 5"),
        ] {
            assert!(parse(text).unwrap_err().contains(expected), "{text}");
        }
    }
}

//! Sets of numbers as IMAP writes them. What does not read is `None`, never a panic: it is a
//! finding.

/// Numbers and ranges with commas between them, as ranges that rise.
pub fn ranges(text: &str) -> Option<Vec<(u32, u32)>> {
    let range = |part: &str| {
        let (first, last) = part.split_once(':').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        Some(if first <= last { (first, last) } else { (last, first) })
    };
    text.split(',').map(range).collect()
}

/// The same as single numbers; `None` too if they are more than anybody asked for.
pub fn numbers(text: &str) -> Option<Vec<u32>> {
    let ranges = ranges(text)?;
    let count: u64 = ranges.iter().map(|(first, last)| u64::from(last - first) + 1).sum();
    (count <= 100_000).then(|| ranges.into_iter().flat_map(|(a, b)| a..=b).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_read() {
        assert_eq!(numbers("1,7:5,3"), Some(vec![1, 5, 6, 7, 3]));
        assert_eq!(numbers("1:4000000000"), None);
        assert_eq!(ranges("1,x"), None);
    }
}

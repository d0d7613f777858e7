//! Sets of numbers, written short.

use std::fmt::{self, Write};

use bytes::BytesMut;

/// Numbers as `1:5,7`: in the given order, rising neighbours joined, so that the
/// sets of COPYUID (RFC 4315 section 3) pair up.
#[derive(Debug, Clone, Copy)]
pub struct NumberSet<I>(pub I);

impl<I: Iterator<Item = u32> + Clone> fmt::Display for NumberSet<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = self.0.clone().peekable();
        let mut comma = "";
        while let Some(first) = numbers.next() {
            let mut last = first;
            while let Some(next) = numbers.next_if(|next| last.checked_add(1) == Some(*next)) {
                last = next;
            }
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, ":{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

/// Appends a [`NumberSet`].
pub fn number_set(out: &mut BytesMut, numbers: impl Iterator<Item = u32> + Clone) {
    let _ = write!(out, "{}", NumberSet(numbers));
}

//! Numbers, and sets of them, written short.

use std::fmt::{self, Write};

use bytes::{BufMut, BytesMut};

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

/// Appends one number: several times faster than the formatter, which counts where there are a
/// hundred thousand.
pub(super) fn decimal(out: &mut BytesMut, mut number: u32) {
    let mut digits = [b'0'; 10];
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
        first = at;
        if number == 0 {
            break;
        }
    }
    out.put_slice(digits.get(first..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_of_number_is_written_as_it_is() {
        let powers = (0..10).map(|exponent| 10_u32.pow(exponent));
        for number in powers.flat_map(|power| [power - 1, power, power + 1]).chain([u32::MAX]) {
            let mut out = BytesMut::new();
            decimal(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}

//! What one message may cost, so that [`super::Parsed`] stays small whatever comes in.

use super::{MAX_ADDRESSES, MAX_PARTS, MAX_VALUES};

/// What is left for the message being taken apart.
#[derive(Debug)]
pub(crate) struct Budget {
    parts: usize,
    addresses: usize,
    octets: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { parts: MAX_PARTS, addresses: MAX_ADDRESSES, octets: MAX_VALUES }
    }
}

impl Budget {
    /// Whether one more part may be taken apart.
    pub(crate) fn take_part(&mut self) -> bool {
        let left = self.parts.checked_sub(1);
        self.parts = left.unwrap_or_default();
        left.is_some()
    }

    /// Addresses that may still be read.
    pub(crate) fn addresses(&self) -> usize {
        self.addresses
    }

    /// So many were read.
    pub(crate) fn take_addresses(&mut self, count: usize) {
        self.addresses = self.addresses.saturating_sub(count);
    }

    /// Whether a value of so many octets may be kept.
    pub(crate) fn take_octets(&mut self, count: usize) -> bool {
        let left = self.octets.checked_sub(count);
        self.octets = left.unwrap_or(self.octets);
        left.is_some()
    }
}

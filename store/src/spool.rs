//! A message on its way in: in memory while small, in a spool file beyond.

use crate::mailstore::WriteError;

/// A message on its way in: in memory while small, in a spool file beyond.
#[derive(Debug)]
pub struct Spool {}

#[allow(unused_variables)]
impl Spool {
    /// Octets written.
    pub fn len(&self) -> u64 {
        todo!()
    }
    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Adds octets.
    ///
    /// # Errors
    /// [`WriteError::TooLarge`] past the limit (the rest may be skipped), [`WriteError::DiskFull`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        todo!()
    }
}

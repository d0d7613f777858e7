//! What the audit trail tells beside the log itself.

use redoubt_log::id::OperationId;
use redoubt_log::record::Outcome;

use super::{Key, StoreError, View};
use crate::rows::OperationRow;

impl View {
    /// What came of the first record with this operation id, refused ones too: for a day of log
    /// time, as it is now whatever the view's index. `None` when that is past.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn outcome(&self, operation: OperationId) -> Result<Option<Outcome>, StoreError> {
        let row: Option<OperationRow> = self.source.get(&Key::Operation(operation))?;
        Ok(row.map(|row| row.outcome))
    }
}

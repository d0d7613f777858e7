//! The log as an audit trail, for whoever asks: lines of who did what, with what the views know
//! beside it (names, outcomes, what was before), and whether a log is still the one of which a
//! head was kept. docs/audit.md.

pub mod before;
pub mod line;
pub mod outcome;
pub mod page;
pub mod verify;

pub use line::{Line, Named};
pub use page::{Asked, AuditError, Begins, OnDisk, Page, ReadWhy, Stored, page};

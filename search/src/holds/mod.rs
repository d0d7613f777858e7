//! Holds and policies by query: what a query holds or finds is judged here, outside `apply`, behind
//! deliveries, by whoever leads, and comes into the log as marks. What is not judged yet counts as
//! held, as kept, and as not to be deleted.

mod judge;
mod supposed;
mod work;

use jiff::tz::TimeZone;
use redoubt_log::id::Timestamp;

use crate::query::{Context, Query, QueryError};

pub use judge::{Judge, Judged};
pub use supposed::Supposed;
pub use work::{HoldJudge, Options};

/// Why a query cannot say what is held.
#[derive(Debug, thiserror::Error)]
pub enum HoldQueryError {
    /// It does not read.
    #[error(transparent)]
    Query(#[from] Box<QueryError>),
    /// It asks for what may be otherwise tomorrow.
    #[error(
        "{0} asks for what may change, and a hold or a policy is over what an email is: its texts, \
         people, dates, size and ids; accounts are named beside the query"
    )]
    Changes(&'static str),
}

/// Reads a hold's query as it was meant when the hold was set; dates are in UTC unless it says
/// otherwise by `zone:`.
///
/// # Errors
/// [`HoldQueryError`].
pub fn read(text: &str, set: Timestamp) -> Result<Query, HoldQueryError> {
    let context = Context { now: set, zone: TimeZone::UTC };
    let query = Query::parse(text, &context).map_err(Box::new)?;
    match query.changeable() {
        Some(operator) => Err(HoldQueryError::Changes(operator)),
        None => Ok(query),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_asks_for_what_stays() {
        let set = Timestamp(1_700_000_000_000);
        let stays = "from:bob (invoice OR subject:report) -has:attachment date:-7d..2026 size:1k..";
        assert!(read(stays, set).is_ok());
        for (text, operator) in [
            ("a OR -(b is:read)", "is:"),
            ("in:INBOX", "in:"),
            ("a tag:b", "keyword:"),
            ("held:yes", "held:"),
            ("a asof:2026-01-01", "asof:"),
            ("deleted:any", "deleted:"),
            ("indexed:none", "indexed:"),
        ] {
            assert!(matches!(read(text, set), Err(HoldQueryError::Changes(o)) if o == operator));
        }
        assert!(matches!(read("from:", set), Err(HoldQueryError::Query(_))));
    }
}

//! Any octets as a query: an answer without a panic, a mistake that lies within the query, and
//! what is understood is printed as text that reads as the same.

use jiff::tz::TimeZone;
use redoubt_log::id::Timestamp;
use redoubt_search::query::{Context, MAX_OCTETS, Query};

/// Runs one input.
pub(crate) fn run(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let context = Context { now: Timestamp(1_795_183_800_000), zone: TimeZone::UTC };
    match Query::parse(&text, &context) {
        Ok(query) => {
            let printed = query.to_string();
            // Printing may make it longer than a query can be.
            let again = Query::parse(&printed, &context);
            let too_long = printed.len() > MAX_OCTETS;
            assert!(too_long || again == Ok(query.clone()), "{text}\n{printed}");
            let _ = (query.ask(), query.is_asked_exactly(), query.looks_back());
        }
        Err(error) => {
            assert!(text.is_char_boundary(error.at), "{text}");
            assert!(error.to_string().len() < 1000, "{text}");
        }
    }
}

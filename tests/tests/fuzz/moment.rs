//! Any octets as a moment and as a name of IMAP's history: an answer without a panic, and what is
//! understood reads back as the same.

use jiff::Zoned;
use jiff::tz::TimeZone;
use redoubt_store::moment::Moment;

/// Runs one input.
pub(crate) fn run(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    for zone in [TimeZone::UTC, TimeZone::fixed(jiff::tz::offset(-11))] {
        let now: Zoned = jiff::Timestamp::UNIX_EPOCH.to_zoned(zone);
        if let Ok(moment) = Moment::parse(&text, &now) {
            let again = Moment::parse(&moment.to_string(), &now);
            // Years with more than four digits are written so that they are no moment any more.
            assert!(again.is_err() || again.ok() == Some(moment), "{text}");
        }
    }
    if let Some(moment) = Moment::parse_basic(&text) {
        assert!(text.starts_with('@') || text.len() == 16, "{text}: {moment}");
    }
}

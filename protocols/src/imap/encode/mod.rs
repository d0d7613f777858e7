//! Responses as octets (RFC 9051 section 7). Pure: values in, octets appended to
//! a buffer; what a string contains decides how it is written.

pub mod code;
mod envelope;
mod fetch;
mod list;
mod number;
mod search;
mod strings;
mod structure;
#[cfg(test)]
mod tests;

pub use envelope::envelope;
pub use fetch::{FetchLine, date_time, flags};
pub use list::{Attribute, StatusValue, list, lsub, status};
pub use number::{NumberSet, number_set};
pub use search::{
    Found, esearch, numbers, search, search_end, sort_begin, thread_begin, thread_step, vanished,
};
pub use strings::{astring, literal_header, mailbox, nstring, quoted, string};
pub use structure::{body, body_structure};

//! Messages taken apart: stories of the RFCs, of broken mail, of a corpus, and
//! of anything at all.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::panic)]

mod anything;
mod corpus;
mod invariants;
mod oracle;
mod structure;

//! Histories good and bad.

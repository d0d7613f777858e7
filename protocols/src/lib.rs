//! Redoubt's protocols: LMTP, IMAP, socketmap. They only speak.

pub mod imap;
pub mod limits;
pub mod lmtp;
pub mod milter;
pub mod proxy;
pub mod server;
pub mod socketmap;
pub mod stream;
pub mod tls;

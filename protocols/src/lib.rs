//! Redoubt's protocols: LMTP, IMAP, socketmap. They only speak.

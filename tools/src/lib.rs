//! The redoubt binary: the one place where the parts are wired.

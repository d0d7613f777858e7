//! Redoubt's state images: carried elsewhere and back.

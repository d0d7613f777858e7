//! `redoubt rebuild`

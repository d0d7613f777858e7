//! `redoubt check`

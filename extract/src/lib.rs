//! Text out of documents: octets of one part in, text and a status out.
//!
//! Imports nothing of Redoubt. What parses hostile octets runs in a process of its own.

//! Redoubt's oracle, harness and stories.

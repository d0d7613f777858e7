//! Redoubt under faults: real processes, histories, checkers.

//! What a second person decides: one record, whatever it is about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{HoldId, OperationId, PolicyId};

/// See [`Change::Approval`](super::Change::Approval). Its actor is a person with the role of an
/// approver, and another one than who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What waits for it.
    pub of: Approves,
    /// Whether it may be.
    pub given: bool,
    /// Why, at most 10,000 octets.
    pub note: String,
}

/// What waits for a second person. New ones come at the end: their numbers are in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approves {
    /// An export of a matter whose exports are reviewed.
    Export(OperationId),
    /// That a hold which was released ends before its delay is over.
    HoldRelease(HoldId),
    /// A version of a policy.
    Policy {
        /// Which policy.
        policy: PolicyId,
        /// Which version of it.
        version: u32,
    },
    /// An erasure.
    Erasure(OperationId),
}

/// As people write it: `export:ID`, `hold:3`, `policy:2:1` (its version 1), `erasure:ID`.
impl fmt::Display for Approves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Export(job) => write!(f, "export:{job}"),
            Self::HoldRelease(hold) => write!(f, "hold:{hold}"),
            Self::Policy { policy, version } => write!(f, "policy:{policy}:{version}"),
            Self::Erasure(erasure) => write!(f, "erasure:{erasure}"),
        }
    }
}

/// Text that names nothing that could wait for a second person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what waits is called export:ID, hold:NUMBER, policy:NUMBER:VERSION or erasure:ID")]
pub struct NotApproves;

impl FromStr for Approves {
    type Err = NotApproves;

    fn from_str(text: &str) -> Result<Self, NotApproves> {
        let (kind, id) = text.split_once(':').ok_or(NotApproves)?;
        let read = match kind {
            "export" => id.parse().ok().map(Self::Export),
            "hold" => id.parse().ok().map(Self::HoldRelease),
            "erasure" => id.parse().ok().map(Self::Erasure),
            "policy" => id.split_once(':').and_then(|(policy, version)| {
                let (policy, version) = (policy.parse().ok()?, version.parse().ok()?);
                Some(Self::Policy { policy, version })
            }),
            _ => None,
        };
        read.ok_or(NotApproves)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let id = OperationId([0xa9; 16]);
        let policy = Approves::Policy { policy: PolicyId(2), version: 1 };
        assert_eq!(policy.to_string(), "policy:2:1");
        for of in
            [Approves::Export(id), Approves::HoldRelease(HoldId(3)), policy, Approves::Erasure(id)]
        {
            assert_eq!(of.to_string().parse(), Ok(of));
        }
        for wrong in
            ["", "3", "hold", "hold:", "hold:x", "policy:2", "policy:2:", "export:a9", "a:1"]
        {
            assert_eq!(wrong.parse::<Approves>(), Err(NotApproves), "{wrong}");
        }
    }
}

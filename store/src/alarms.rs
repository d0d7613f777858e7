//! What an operator must know now: kept here, shown by status, metrics and
//! `cluster status`. An alarm stands until whoever raised it clears it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use redoubt_log::id::Timestamp;
use serde::{Deserialize, Serialize};

/// More subjects of one kind than this are counted, not listed.
const MOST_OF_A_KIND: usize = 100;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// Blobs are damaged or missing here, and no peer has given them yet.
    Blob,
    /// A part of the log is damaged, and no peer has given it yet.
    Log,
    /// A checkpoint in `base/` is damaged.
    Base,
    /// This node's state differs from another's at the same index.
    State,
    /// This node's log has another chain than another's at the same index.
    Chain,
    /// A node's clock is far from the others'.
    Clock,
    /// The disk's reserve is reached.
    Disk,
    /// A member is refused: its disk is not the one that it once had.
    Member,
    /// The backup repository does not get what comes in.
    Archive,
    /// Heads of the log are not signed, or do not get to where they are kept.
    Heads,
}

impl AlarmKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Blob,
        Self::Log,
        Self::Base,
        Self::State,
        Self::Chain,
        Self::Clock,
        Self::Disk,
        Self::Member,
        Self::Archive,
        Self::Heads,
    ];

    /// Its name in metrics and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Log => "log",
            Self::Base => "base",
            Self::State => "state",
            Self::Chain => "chain",
            Self::Clock => "clock",
            Self::Disk => "disk",
            Self::Member => "member",
            Self::Archive => "archive",
            Self::Heads => "heads",
        }
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that somebody has to look after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What is wrong.
    pub kind: AlarmKind,
    /// With what: a node, a blob, a file.
    pub subject: String,
    /// Since when.
    pub since: Timestamp,
    /// What was found, and what to do.
    pub text: String,
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.kind, self.subject, self.text)
    }
}

type Active = BTreeMap<(AlarmKind, String), Alarm>;

/// The alarms of one node. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct Alarms(Arc<Mutex<Active>>);

impl Alarms {
    /// Raises an alarm, or gives one that stands a new text; said in the log when it is new.
    pub fn raise(&self, kind: AlarmKind, subject: impl Into<String>, text: impl Into<String>) {
        let (key, text) = ((kind, subject.into()), text.into());
        let mut active = self.0.lock();
        if let Some(alarm) = active.get_mut(&key) {
            alarm.text = text;
            return;
        }
        let subject = key.1.clone();
        tracing::error!(%kind, subject, text, "alarm");
        if active.keys().filter(|(of, _)| *of == kind).count() < MOST_OF_A_KIND {
            active.insert(key, Alarm { kind, subject, since: Timestamp::now(), text });
        }
    }

    /// It is over; nothing happens when it did not stand.
    pub fn clear(&self, kind: AlarmKind, subject: &str) {
        if self.0.lock().remove(&(kind, subject.to_owned())).is_some() {
            tracing::info!(%kind, subject, "the alarm is over");
        }
    }

    /// Raises or clears by whether there is something to say.
    pub fn set(&self, kind: AlarmKind, subject: &str, text: Option<String>) {
        match text {
            Some(text) => self.raise(kind, subject, text),
            None => self.clear(kind, subject),
        }
    }

    /// All of a kind are over but those whose subject is kept.
    pub fn retain(&self, kind: AlarmKind, keep: impl Fn(&str) -> bool) {
        let gone = |(of, subject): &(AlarmKind, String)| *of == kind && !keep(subject);
        let over: Vec<_> = self.0.lock().keys().filter(|key| gone(key)).cloned().collect();
        over.into_iter().for_each(|(kind, subject)| self.clear(kind, &subject));
    }

    /// Those that stand, by kind and subject.
    pub fn active(&self) -> Vec<Alarm> {
        self.0.lock().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_alarm_stands_until_it_is_cleared() {
        let alarms = Alarms::default();
        alarms.raise(AlarmKind::State, "node 2", "differs at 5");
        let since = alarms.active().first().unwrap().since;
        alarms.clone().raise(AlarmKind::State, "node 2", "differs at 9");
        let [alarm] = alarms.active().try_into().unwrap();
        assert_eq!((alarm.text.as_str(), alarm.since), ("differs at 9", since));
        assert_eq!(alarm.to_string(), "state (node 2): differs at 9");
        alarms.clear(AlarmKind::Chain, "node 2");
        alarms.set(AlarmKind::Disk, "disk", Some("full".into()));
        alarms.retain(AlarmKind::State, |subject| subject == "node 3");
        assert_eq!(alarms.active().len(), 1);
        alarms.set(AlarmKind::Disk, "disk", None);
        assert!(alarms.active().is_empty());
    }

    #[test]
    fn the_list_is_bounded_and_names_are_those_of_json() {
        let alarms = Alarms::default();
        (0..1000).for_each(|n| alarms.raise(AlarmKind::Blob, n.to_string(), "bad"));
        assert_eq!(alarms.active().len(), MOST_OF_A_KIND);
        for kind in AlarmKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}

//! A leader that had better not lead: whose disk hangs or is full, or whose clock no
//! quorum agrees with, hands leadership over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::id::NodeId;
use crate::raft::hub::Hub;
use crate::world;

/// How often a leader looks at itself.
const EVERY: Duration = Duration::from_millis(100);
/// How long a sync may take.
const HANG: Duration = Duration::from_secs(1);
/// How long leadership may take to go elsewhere when this node stops.
const LEAVE: Duration = Duration::from_secs(1);
/// Within which time a peer was heard that is to lead.
const HEARD: Duration = Duration::from_secs(2);
/// The least time between two tries to hand leadership over.
const AGAIN: Duration = Duration::from_secs(5);

impl Hub {
    /// Watches over this node for ever.
    pub(crate) async fn watch_over(self: Arc<Self>) {
        let mut next = Instant::now();
        loop {
            sleep(EVERY).await;
            if *self.leader.borrow() != Some(self.me()) || Instant::now() < next {
                continue;
            }
            if let Some(why) = self.why_not_lead().await {
                next = Instant::now() + AGAIN;
                self.step_aside(&why).await;
                continue;
            }
            if self.is_joint()
                && let Err(error) = self.finish_change().await
            {
                tracing::debug!(%error, "a change of the members is not finished yet");
            }
            let moved = self.moved();
            if !moved.is_empty() {
                next = Instant::now() + AGAIN;
                if let Err(error) = self.correct_addresses(moved).await {
                    tracing::warn!(%error, "the new address of a member is not written yet");
                }
            }
        }
    }

    async fn why_not_lead(&self) -> Option<String> {
        match self.should_not_lead() {
            None => self.lacks_room().await,
            why => why,
        }
    }

    /// Its disk is full, and that of another is not.
    async fn lacks_room(&self) -> Option<String> {
        let log = self.log.clone();
        let room = world::blocking(move || log.growth_allowed()).await.unwrap_or(true);
        let other = || self.furthest().is_some_and(|to| self.has_room(to));
        (!room && other()).then(|| "its disk is full".to_owned())
    }

    fn should_not_lead(&self) -> Option<String> {
        if self.options.light {
            return Some("it is a light voter".to_owned());
        }
        let sync = Duration::from_micros(self.log.stats().sync_running_us);
        if sync > HANG {
            return Some(format!("a sync of the log has taken {} ms so far", sync.as_millis()));
        }
        let off = self.clock_is_off()?;
        Some(format!("no quorum agrees with its clock, which is {off} ms off"))
    }

    async fn step_aside(&self, why: &str) {
        let Some(to) = self.furthest() else { return };
        tracing::warn!(%to, why, "leadership is handed over");
        if let Err(error) = self.transfer(Some(to)).await {
            tracing::warn!(%to, %error, "leadership was not handed over");
        }
    }

    /// Hands leadership to a peer before this node stops, if one is there to take it.
    pub(crate) async fn leave_in_order(&self) {
        let leads = *self.leader.borrow() == Some(self.me());
        let Some(to) = self.furthest().filter(|to| leads && self.heard_within(*to, HEARD)) else {
            return;
        };
        if timeout(LEAVE, self.transfer(Some(to))).await.is_err() {
            tracing::warn!(%to, "leadership was not handed over before the stop");
        }
    }

    /// Members that say that they are reached elsewhere than the membership says.
    fn moved(&self) -> BTreeMap<NodeId, String> {
        let mut said: BTreeMap<NodeId, String> = {
            let heard = self.heard.lock();
            let last = |(node, heard): (&NodeId, &crate::raft::heard::Heard)| {
                heard.last.as_ref().map(|(_, pulse)| (*node, pulse.address.clone()))
            };
            heard.iter().filter_map(last).collect()
        };
        let own = self.peers().map(|peers| peers.address.clone()).unwrap_or_default();
        said.insert(self.me(), own);
        said.retain(|node, address| {
            let member = self.member(*node);
            !address.is_empty() && member.is_some_and(|member| member.address != *address)
        });
        said
    }
}

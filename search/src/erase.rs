//! What was erased goes out of what is derived from it: indexes, texts of attachments, and what
//! searches over accounts keep.

use std::sync::Arc;

use redoubt_log::record::ErasePlace;
use redoubt_store::mailstore::{Erased, Reached, Reaches, Reaching};

use crate::discover::Jobs;
use crate::index::Index;
use crate::texts::TextStore;

/// Runs what blocks.
fn reaching(work: impl FnOnce() -> Result<Reached, String> + Send + 'static) -> Reaching {
    Box::pin(async move {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| error.to_string())?
    })
}

impl Reaches for Index {
    fn place(&self) -> ErasePlace {
        ErasePlace::Index
    }

    fn reach(&self, erased: Arc<Erased>) -> Reaching {
        let index = self.clone();
        reaching(move || {
            index.erase(erased.account, &erased.emails).map_err(|error| error.to_string())?;
            Ok(Reached::default())
        })
    }
}

impl Reaches for TextStore {
    fn place(&self) -> ErasePlace {
        ErasePlace::Texts
    }

    fn reach(&self, _: Arc<Erased>) -> Reaching {
        let texts = self.clone();
        reaching(move || {
            texts.collect();
            Ok(Reached::default())
        })
    }
}

impl Reaches for Jobs {
    fn place(&self) -> ErasePlace {
        ErasePlace::Discovery
    }

    /// Lists of what was found have no texts of messages; exports have, and were given away.
    fn reach(&self, erased: Arc<Erased>) -> Reaching {
        let jobs = self.clone();
        reaching(move || {
            let exports = jobs.exports_of(&erased).map_err(|error| error.to_string())?;
            Ok(match exports.is_empty() {
                true => Reached::default(),
                false => Reached::pending(format!(
                    "exports on this node may have it, until their folders are removed: {}",
                    exports.join(", ")
                )),
            })
        })
    }
}

//! Whether something that was erased is in the backup repository still: in a pack, or in the rows
//! of a base. It goes as `redoubt backup expire` lets it go; this says when it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redoubt_log::id::OperationId;
use redoubt_log::record::ErasePlace;
use redoubt_store::mailstore::{Erased, Reached, Reaches, Reaching};

use crate::repo::{KeyWish, Place, RepoError, Repository};

/// How often the repository is looked through for one erasure.
const LOOK: Duration = Duration::from_secs(3600);

/// The repository, as a place that erasures ask.
#[derive(Debug, Clone)]
pub struct Erasing {
    place: Place,
    key: KeyWish,
    seen: Arc<Mutex<HashMap<OperationId, (Instant, Reached)>>>,
}

impl Erasing {
    /// Of a repository.
    pub fn new(place: Place, key: KeyWish) -> Self {
        Self { place, key, seen: Arc::default() }
    }

    async fn look(&self, erased: &Erased) -> Result<Reached, RepoError> {
        let repository = Repository::open(self.place.objects(false)?, &self.key).await?;
        let catalogue = repository.catalogue().await?;
        let blobs = erased.dead.iter().filter(|blob| catalogue.head(blob).is_some()).count();
        let mut bases = 0;
        for lineage in repository.lineages().await? {
            let all = repository.bases(&lineage).await?;
            bases += all.iter().filter(|base| base.index < erased.since).count();
        }
        let pending = (blobs + bases > 0).then(|| {
            format!(
                "{blobs} blobs and {bases} bases from before are in the backup repository, until \
                 `redoubt backup expire` lets them go"
            )
        });
        Ok(Reached { stays: erased.shared, pending })
    }
}

impl Reaches for Erasing {
    fn place(&self) -> ErasePlace {
        ErasePlace::Repository
    }

    fn reach(&self, erased: Arc<Erased>) -> Reaching {
        let this = self.clone();
        Box::pin(async move {
            let seen = this.seen.lock().get(&erased.erasure).cloned();
            if let Some((_, reached)) = seen.filter(|(at, _)| at.elapsed() < LOOK) {
                return Ok(reached);
            }
            let reached = this.look(&erased).await.map_err(|error| error.to_string())?;
            this.seen.lock().insert(erased.erasure, (Instant::now(), reached.clone()));
            Ok(reached)
        })
    }
}

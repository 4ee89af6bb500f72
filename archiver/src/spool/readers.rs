//! Connections that only read: as many as are reading at once, so that nobody waits for another's rendering. A few are kept
//! for the next ones.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::offload::offload;

/// Readers at once: each has files open and some memory.
const MOST: usize = 32;
/// Connections that are kept while nobody reads.
const KEPT: usize = 4;

/// A handle on the readers; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    file: Arc<Path>,
    idle: Arc<Mutex<Vec<Connection>>>,
    places: Arc<Semaphore>,
}

impl Readers {
    /// Readers of the database `file`, of which one is opened now, to see that it can be.
    pub(super) fn open(file: PathBuf) -> rusqlite::Result<Self> {
        let first = connect(&file)?;
        let (idle, places) = (Arc::new(Mutex::new(vec![first])), Arc::new(Semaphore::new(MOST)));
        Ok(Self { file: file.into(), idle, places })
    }

    /// Runs `query` on a connection of its own.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> rusqlite::Result<T> {
        let _place = self.places.acquire().await.map_err(|_| rusqlite::Error::InvalidQuery)?;
        let (file, idle) = (self.file.clone(), self.idle.clone());
        let run = move || {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = kept.map_or_else(|| connect(&file), Ok)?;
            let answer = query(&connection);
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < KEPT {
                idle.push(connection);
            }
            answer
        };
        offload(run).await.unwrap_or(Err(rusqlite::Error::InvalidQuery))
    }
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(32);
    super::schema::steady(&connection)?;
    Ok(connection)
}

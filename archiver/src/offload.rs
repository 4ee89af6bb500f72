//! Work that takes its time, such as what the disk does, leaves the threads that serve connections.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::{JoinError, spawn_blocking},
};

/// Does `work` on a thread of its own. On a runtime that has only one it is done at once: under virtual time the same things
/// then happen in the same order, whatever the machine has to do.
pub async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => Ok(work()),
        _ => spawn_blocking(work).await,
    }
}

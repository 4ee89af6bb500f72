//! The fence around every write: open while this replica leads, and shut by its own monotonic clock when the Lease was not
//! renewed, whatever its tasks believe.
//!
//! It is asked right before a request is sent. A request that was sent in time and comes late, because the process or the
//! network stood still, is refused by the API server for the version that it was decided on. What has no version yet, since
//! it is being made, has a fixed name and the content that its Archiver asks for, and the leader puts it right at once.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// Until when writes may be begun. Shut at first.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<Mutex<Option<Instant>>>);

impl Fence {
    /// Lets writes begin until `end`.
    pub fn open_until(&self, end: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    /// Lets no write begin any more.
    pub fn shut(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether a write may begin at `now`.
    pub fn is_open(&self, now: Instant) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn nothing_is_written_before_the_first_lease_and_after_the_last() {
        let (fence, now) = (Fence::default(), Instant::now());
        assert!(!fence.is_open(now));
        fence.open_until(now + Duration::from_secs(10));
        assert!(fence.is_open(now + Duration::from_secs(9)));
        assert!(!fence.is_open(now + Duration::from_secs(10)));
        fence.shut();
        assert!(!fence.is_open(now));
    }
}

//! How long an object that fails is left alone: 1 s, doubling to 5 min. kube has no such memory of its own.

use std::{collections::HashMap, sync::Mutex, time::Duration};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Failures in a row, by object.
#[derive(Debug, Default)]
pub struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// Counts a failure; how long to wait now.
    pub fn failed(&self, object: &str) -> Duration {
        let mut failures = self.lock();
        let count = failures.entry(object.to_owned()).or_default();
        *count = count.saturating_add(1);
        FIRST.saturating_mul(2u32.saturating_pow(*count - 1)).min(LONGEST)
    }

    /// Forgets: it worked, or the object is gone.
    pub fn forget(&self, object: &str) {
        self.lock().remove(object);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_a_success_begins_anew() {
        let backoff = Backoff::default();
        let waits: Vec<u64> = (0..11).map(|_| backoff.failed("a").as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.failed("b").as_secs(), 1);
        backoff.forget("a");
        assert_eq!(backoff.failed("a").as_secs(), 1);
    }
}

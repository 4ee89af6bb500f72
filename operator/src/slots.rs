//! At most ten probes at once in the cluster: a thousand endpoints of one archive must not knock together.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use crate::pods::finished;

/// How many probes run at once.
pub const AT_ONCE: usize = 10;
/// How long a new Job may take to be seen.
const UNSEEN: Duration = Duration::from_secs(30);

/// Those claims of a slot whose Job was not seen yet.
#[derive(Debug, Default)]
pub struct Slots(Mutex<HashMap<String, Timestamp>>);

impl Slots {
    /// Claims a slot for the Job `name` (`NAMESPACE/NAME`), when `jobs` are those that are seen.
    pub fn claim(&self, jobs: &[Arc<Job>], name: &str, now: Timestamp) -> bool {
        let key = |job: &Job| format!("{}/{}", job.namespace().unwrap_or_default(), job.name_any());
        let seen: HashSet<String> = jobs.iter().map(|job| key(job)).collect();
        let running = jobs.iter().filter(|job| finished(job).is_none()).count();
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.retain(|claimed, since| {
            let age = Duration::try_from(now.duration_since(*since)).unwrap_or_default();
            age < UNSEEN && !seen.contains(claimed)
        });
        let free = claims.contains_key(name) || running + claims.len() < AT_ONCE;
        if free {
            claims.insert(name.to_owned(), now);
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(number: usize, over: bool) -> Arc<Job> {
        let conditions = if over { json!([{"type": "Complete", "status": "True"}]) } else { json!([]) };
        Arc::new(
            serde_json::from_value(json!({"metadata": {"namespace": "acme", "name": number.to_string()},
                "status": {"conditions": conditions}}))
            .expect("a Job"),
        )
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn ten_run_at_once_whether_seen_yet_or_not() {
        let slots = Slots::default();
        let seen: Vec<_> = (0..7).map(|number| job(number, false)).chain([job(99, true)]).collect();
        let claimed: Vec<bool> = (10..15).map(|number| slots.claim(&seen, &format!("acme/{number}"), at(1))).collect();
        assert_eq!(claimed, [true, true, true, false, false]);
    }

    #[test]
    fn a_claim_ends_when_its_job_is_seen_or_never_comes() {
        let slots = Slots::default();
        let nine: Vec<_> = (0..9).map(|number| job(number, false)).collect();
        assert!(slots.claim(&nine, "acme/a", at(1)));
        assert!(!slots.claim(&nine, "acme/b", at(2)));
        assert!(slots.claim(&nine, "acme/b", at(40)));
    }
}

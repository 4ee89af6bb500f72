//! The Lease: of all replicas one leads, and it stops writing before another may begin.
//!
//! Who holds the Lease renews it. Who does not watches it by its own monotonic clock, and takes it when it stood still for
//! as long as it is valid: no two clocks are compared. A holder opens the [`Fence`] for [`FENCED`] from the beginning of
//! each renewal that succeeded, and a request ends within 5 s, so that its last write is over when the Lease is. A replica
//! that lost the Lease ends its process, and starts anew as one that waits.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use crate::{MANAGER, api::bounded, context::Clock, error::Error, fence::Fence, progress::Beat};

/// How long a Lease that is not renewed keeps others away.
const VALID: Duration = Duration::from_secs(15);
/// How long after a renewal writes may begin. What is left of [`VALID`] is for the last of them to end.
const FENCED: Duration = Duration::from_secs(10);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(3);
/// How often a replica that waits looks at it, and one whose renewal failed tries again.
const LOOK: Duration = Duration::from_secs(1);

/// A replica, and the Lease that it is after.
pub struct Candidate {
    leases: Api<Lease>,
    /// The name of this replica. A pod's name: a container that is started anew goes on with its pod's Lease.
    identity: String,
    fence: Fence,
    clock: Clock,
    beat: Beat,
}

/// How a term ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The Lease was given back.
    Resigned,
    /// It was lost; why.
    Lost(String),
}

impl Candidate {
    /// The replica `identity`, for the Lease in `namespace`.
    pub fn new(client: Client, namespace: &str, identity: String, fence: Fence, clock: Clock, beat: Beat) -> Self {
        Self { leases: Api::namespaced(client, namespace), identity, fence, clock, beat }
    }

    /// Waits until this replica leads. `seen` is called once the Lease, or that there is none, was seen.
    pub async fn elected(&self, seen: impl Fn()) -> Lease {
        // The version that was last seen, and since when.
        let mut watched: Option<(Option<String>, Instant)> = None;
        loop {
            self.beat.tick();
            match self.read().await {
                Ok(lease) => {
                    seen();
                    let version = lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
                    let since = match &watched {
                        Some((before, since)) if *before == version => *since,
                        _ => Instant::now(),
                    };
                    watched = Some((version, since));
                    if may_take(lease.as_ref(), &self.identity, since.elapsed()) {
                        match self.take(lease).await {
                            Ok(taken) => return taken,
                            Err(Error::Conflict { .. } | Error::Exists { .. }) => {
                                tracing::debug!("another replica was faster");
                            }
                            Err(error) => tracing::warn!(%error, "the Lease cannot be taken, tried again"),
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "the Lease cannot be read, tried again"),
            }
            sleep(LOOK).await;
        }
    }

    /// Keeps `lease` until it is lost, or `resign` says that nothing will be written any more; then gives it back.
    pub async fn keep(&self, mut lease: Lease, mut resign: oneshot::Receiver<()>) -> End {
        let mut pause = RENEWAL;
        loop {
            tokio::select! {
                // That nobody can say it any more is a stop as well.
                _ = &mut resign => return self.resign(&lease).await,
                () = sleep(pause) => {}
            }
            self.beat.tick();
            match self.renew(&lease).await {
                Ok(renewed) => (lease, pause) = (renewed, RENEWAL),
                Err(Error::Conflict { .. }) => match self.read().await {
                    // A renewal whose answer was lost.
                    Ok(Some(current)) if same_term(&current, &lease) => (lease, pause) = (current, Duration::ZERO),
                    Ok(_) => return self.lost("another replica took the Lease"),
                    Err(error) => pause = self.again(&error),
                },
                Err(error) => pause = self.again(&error),
            }
            if !self.fence.is_open(Instant::now()) {
                return self.lost("the Lease could not be renewed in time");
            }
        }
    }

    fn again(&self, error: &Error) -> Duration {
        tracing::warn!(%error, "the Lease was not renewed, tried again");
        LOOK
    }

    fn lost(&self, why: &str) -> End {
        self.fence.shut();
        End::Lost(why.to_owned())
    }

    async fn read(&self) -> Result<Option<Lease>, Error> {
        bounded(format!("get Lease {MANAGER}"), self.leases.get_opt(MANAGER)).await
    }

    async fn take(&self, lease: Option<Lease>) -> Result<Lease, Error> {
        let begun = Instant::now();
        let wanted = taken(lease, &self.identity, (self.clock)());
        let taken = match wanted.metadata.resource_version {
            Some(_) => self.write(&wanted).await?,
            None => {
                let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
                bounded(format!("create Lease {MANAGER}"), self.leases.create(&params, &wanted)).await?
            }
        };
        self.fence.open_until(begun + FENCED);
        Ok(taken)
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, Error> {
        let begun = Instant::now();
        let renewed = self.write(&renewed(lease.clone(), (self.clock)())).await?;
        self.fence.open_until(begun + FENCED);
        Ok(renewed)
    }

    /// Lets the next replica begin at once, instead of when the Lease is over.
    async fn resign(&self, lease: &Lease) -> End {
        self.fence.shut();
        let mut free = renewed(lease.clone(), (self.clock)());
        if let Some(spec) = &mut free.spec {
            spec.holder_identity = None;
        }
        if let Err(error) = self.write(&free).await {
            tracing::warn!(%error, "the Lease was not given back; another replica takes it when it is over");
        }
        End::Resigned
    }

    async fn write(&self, lease: &Lease) -> Result<Lease, Error> {
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        bounded(format!("update Lease {MANAGER}"), self.leases.replace(MANAGER, &params, lease)).await
    }
}

/// Whether the replica `me` may take `lease`, which it saw unchanged for this long.
fn may_take(lease: Option<&Lease>, me: &str, unchanged: Duration) -> bool {
    let Some(spec) = lease.and_then(|lease| lease.spec.as_ref()) else { return true };
    match spec.holder_identity.as_deref() {
        None | Some("") => true,
        Some(holder) if holder == me => true,
        Some(_) => {
            let valid = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            unchanged >= valid.map_or(VALID, Duration::from_secs)
        }
    }
}

/// `lease`, or the first one, in the hands of `me`.
fn taken(lease: Option<Lease>, me: &str, now: Timestamp) -> Lease {
    let before = lease.as_ref().and_then(|lease| lease.spec.as_ref());
    let transitions = before.map_or(0, |spec| spec.lease_transitions.unwrap_or_default().saturating_add(1));
    let spec = LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(VALID.as_secs()).ok(),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    };
    let metadata = lease.map_or_else(
        || ObjectMeta { name: Some(MANAGER.to_owned()), ..ObjectMeta::default() },
        |lease| ObjectMeta { managed_fields: None, ..lease.metadata },
    );
    Lease { metadata, spec: Some(spec) }
}

fn renewed(mut lease: Lease, now: Timestamp) -> Lease {
    lease.metadata.managed_fields = None;
    if let Some(spec) = &mut lease.spec {
        spec.renew_time = Some(MicroTime(now));
    }
    lease
}

/// Whether `current` is what became of `mine`, and not a Lease that was taken since, be it under the same name.
fn same_term(current: &Lease, mine: &Lease) -> bool {
    let term = |lease: &Lease| lease.spec.as_ref().map(|spec| (spec.holder_identity.clone(), spec.lease_transitions));
    current.metadata.uid == mine.metadata.uid && term(current) == term(mine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    const LONG: Duration = Duration::from_secs(15);
    const SHORT: Duration = Duration::from_millis(14_999);

    #[test]
    fn a_lease_that_is_missing_or_free_is_taken() {
        assert!(may_take(None, "a", Duration::ZERO));
        let mut free = taken(None, "b", at(1));
        free.spec.as_mut().expect("a spec").holder_identity = None;
        assert!(may_take(Some(&free), "a", Duration::ZERO));
    }

    #[test]
    fn the_lease_of_another_is_taken_when_it_stood_still_for_as_long_as_it_is_valid() {
        let lease = taken(None, "b", at(1));
        assert!(!may_take(Some(&lease), "a", SHORT));
        assert!(may_take(Some(&lease), "a", LONG));
    }

    #[test]
    fn ones_own_lease_is_taken_back_at_once_and_is_another_term() {
        let lease = taken(None, "a", at(1));
        assert!(may_take(Some(&lease), "a", Duration::ZERO));
        assert!(same_term(&renewed(lease.clone(), at(2)), &lease));
        assert!(!same_term(&taken(Some(lease.clone()), "a", at(2)), &lease));
    }

    #[test]
    fn terms_are_counted() {
        let second = taken(Some(taken(None, "a", at(1))), "b", at(2));
        assert_eq!(second.spec.expect("a spec").lease_transitions, Some(1));
    }

    #[test]
    fn the_last_write_ends_before_the_lease_does() {
        assert!(FENCED + crate::error::TIMEOUT <= VALID);
    }
}

//! What a trip came to is written down, and what follows from it.

use imarchive_crds::{PastOutage, RetryLogRow, Server};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    courier::{Courier, Done},
    plan::{Next, Suspect},
    trip::Back,
};
use crate::{
    batch::Sealed,
    classify::{Context, Verdict, classify},
    directory::Endpoint,
    message::Recorded,
    offload::offload,
    render,
    smtp::Failure,
    spool::{
        WriteError,
        batch::{self, Sealing},
        outage, split, tries,
    },
};

impl Courier {
    /// A trip is over.
    pub(super) async fn back(&mut self, endpoint: Endpoint, back: Back) -> Result<(), WriteError> {
        let Back { batch, session, outcome, maybe } = back;
        match outcome {
            Ok(reply) => {
                self.sessions.extend(session);
                self.taken(&endpoint, batch, reply).await
            }
            Err((failure, context)) => {
                let another_connection_works = !self.sessions.is_empty() || self.plan.at_work() > 1;
                let verdict = classify(&failure, Context { another_connection_works, ..context });
                // After a refusal of a mail the session goes on; whether it can is seen when it is needed.
                if matches!(verdict, Verdict::Batch { .. } | Verdict::TooBig) {
                    self.sessions.extend(session);
                }
                self.failed(&endpoint, batch, failure.failure(), verdict, maybe).await?;
                self.busy.remove(&batch);
                self.look_again();
                Ok(())
            }
        }
    }

    /// Written down while the next mail is on its way.
    async fn taken(&mut self, endpoint: &Endpoint, id: i64, reply: String) -> Result<(), WriteError> {
        let suspects = self.plan.taken(id, endpoint.delivery.max_connections);
        self.office.metrics.delivered(&self.name);
        self.rung = None;
        self.unwritten += 1;
        let (office, name, uid) = (self.office.clone(), self.name.clone(), endpoint.uid.clone());
        let moment = self.moment();
        self.tasks.spawn(async move {
            let write = move |connection: &_| {
                let past = outage::recovered(connection, &name, &uid, moment)?;
                batch::delivered(connection, id, &reply, moment.now)?;
                Ok(past)
            };
            Ok(Done::Delivered(id, office.write(write).await?))
        });
        self.judge(endpoint, suspects).await
    }

    /// It is written down that the archive took `batch`.
    pub(super) fn written(&mut self, batch: i64, past: Option<PastOutage>) {
        self.busy.remove(&batch);
        self.unwritten -= 1;
        if let Some(past) = past {
            let PastOutage { outage, attempts, messages, .. } = past;
            let minutes = past.ended_at.0.duration_since(past.first_failure_at.0).as_mins();
            info!(
                endpoint = self.name,
                outage, attempts, minutes, messages, "the outage is over; what waited goes out"
            );
            self.set_at = None;
            self.look_again();
            self.office.turned.send_modify(|count| *count += 1);
        }
    }

    /// The archive takes other mails than `suspects`: it is about them.
    async fn judge(&mut self, endpoint: &Endpoint, suspects: Vec<Suspect>) -> Result<(), WriteError> {
        if suspects.is_empty() {
            return Ok(());
        }
        for Suspect { batch, permanent, words } in &suspects {
            let fate = if *permanent { "is held" } else { "is put off" };
            warn!(endpoint = self.name, batch, failure = words, "the archive takes other mails; this one {fate}");
        }
        // One of them may have been made ready again.
        self.put_back().await?;
        let (retry, uid, now) = (endpoint.retry.clone(), endpoint.uid.clone(), (self.office.now)());
        self.office
            .write(move |connection| {
                suspects.iter().try_for_each(|suspect| match suspect.permanent {
                    true => batch::hold(connection, suspect.batch, &format!("refused: {}", suspect.words)),
                    false => tries::put_off(connection, suspect.batch, &retry, &uid, now),
                })
            })
            .await?;
        self.look_again();
        self.office.turned.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn failed(
        &mut self,
        endpoint: &Endpoint,
        id: i64,
        failure: &Failure,
        verdict: Verdict,
        maybe: bool,
    ) -> Result<(), WriteError> {
        let words = failure.to_string();
        let others = matches!(verdict, Verdict::Batch { .. }) && self.others(id).await?;
        let next = self.plan.failed(id, verdict, &words, others, Instant::now());
        self.office.metrics.failed(&self.name, failure.reason);
        if let (Next::Split, Some(accepted)) = (next, &endpoint.accepted) {
            return self.split(endpoint, &accepted.server, id, &words).await;
        }
        let (name, uid, retry) = (self.name.clone(), endpoint.uid.clone(), endpoint.retry.clone());
        let moment = self.moment();
        let row = (next == Next::Ladder).then(|| RetryLogRow {
            attempt: 0,
            at: Time(moment.now),
            stage: failure.stage,
            reason: Some(failure.reason),
            code: failure.code().map(i32::from),
            message: failure.words(),
            notified_at: None,
        });
        warn!(endpoint = self.name, failure = words, ?verdict, "a delivery failed; its batch is kept and tried again");
        if next == Next::Ladder {
            self.set_at = Some(Instant::now());
        }
        let write = move |connection: &_| {
            tries::failed(connection, id, &words, maybe)?;
            row.iter()
                .try_for_each(|row| outage::failed(connection, &name, &uid, &retry, row.clone(), moment).map(drop))
        };
        self.office.write(write).await?;
        if next == Next::Ladder {
            self.put_back().await?;
            self.expire(endpoint).await?;
            self.office.turned.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// Whether there is a batch that can be tried, was not refused, and is not `id`.
    async fn others(&self, id: i64) -> Result<bool, WriteError> {
        let (name, now, suspects) = (self.name.clone(), (self.office.now)(), self.plan.suspected());
        let limit = suspects.len() + 2;
        let due = self.office.spool.read(move |connection| tries::due(connection, &name, now, limit)).await?;
        Ok(due.iter().any(|batch| *batch != id && !suspects.contains(batch)))
    }

    /// Two batches instead of one that is too big; of one message alone there is nothing to split.
    async fn split(&mut self, endpoint: &Endpoint, server: &Server, id: i64, words: &str) -> Result<(), WriteError> {
        let (endpoint, domain) = (endpoint.clone(), server.from.domain().to_owned());
        let sealed = self.office.spool.read(move |connection| batch::load(connection, id)).await;
        // What cannot be read cannot be split, and is held as well.
        let sealed = sealed.inspect_err(|error| warn!(batch = id, %error, "a batch cannot be read")).ok();
        let cut = move || {
            let sealed = sealed?;
            halves(&sealed).map(|halves| halves.map(|half| sealing(&endpoint, &domain, &sealed, half)))
        };
        let halves = offload(cut).await.ok().flatten();
        let (spool, now) = (self.office.spool.uuid(), (self.office.now)());
        let (name, reason) = (self.name.clone(), format!("too big for the archive: {words}"));
        let split = self
            .office
            .write(move |connection| match &halves {
                Some(halves) => split::split(connection, spool, id, halves, now),
                None => batch::hold(connection, id, &reason).map(|()| false),
            })
            .await?;
        warn!(endpoint = name, batch = id, split, failure = words, "a mail is too big for the archive");
        self.office.turned.send_modify(|count| *count += 1);
        Ok(())
    }
}

/// The messages in two parts of about as many bytes, in their order; `None` when there is only one.
fn halves(sealed: &Sealed) -> Option<[&[Recorded]; 2]> {
    let messages = &sealed.messages;
    let sizes: Vec<usize> = messages.iter().map(size).collect();
    let whole: usize = sizes.iter().sum();
    let before = |at: usize| sizes[..at].iter().sum::<usize>().abs_diff(whole / 2);
    let at = (1..messages.len()).min_by_key(|at| before(*at))?;
    let (first, second) = messages.split_at(at);
    Some([first, second])
}

fn size(recorded: &Recorded) -> usize {
    recorded.document.to_string().len() + recorded.contents.iter().flatten().map(Vec::len).sum::<usize>()
}

fn sealing(endpoint: &Endpoint, domain: &str, sealed: &Sealed, half: &[Recorded]) -> Sealing {
    let transcript = render::transcript(&sealed.endpoint, &sealed.source, &sealed.conversation, half);
    Sealing {
        endpoint: sealed.endpoint.clone(),
        endpoint_uid: endpoint.uid.clone(),
        from_domain: domain.to_owned(),
        source: sealed.source.clone(),
        conversation: sealed.conversation.clone(),
        members: half.iter().map(|recorded| recorded.seq).collect(),
        oldest_at: half.iter().map(|recorded| recorded.received_at).min().unwrap_or(sealed.sealed_at),
        digest: transcript.digest,
    }
}

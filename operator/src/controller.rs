//! Runs the reconciles of a kind: never two at once for one object, each with a deadline, a measure, and a backoff of its
//! object's own.

use std::{borrow::Cow, fmt::Debug, future::Future, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, pin_mut};
use kube::{
    Resource,
    runtime::{
        controller::{self, Action, applier},
        reflector::{ObjectRef, Store},
    },
};
use tokio::time::Instant;

use crate::{context::Context, error::Error};

/// A stale decision costs one look at what changed.
const AFTER_CONFLICT: Duration = Duration::from_millis(300);
/// What went is told by its watch; this is for the case that it comes back unseen.
const AFTER_GONE: Duration = Duration::from_secs(60);
/// Changes that come together are one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// How many objects of a kind are reconciled at once.
const AT_ONCE: u16 = 8;

/// Reconciles what `queue` asks for, until it ends.
pub async fn run<K, R, F>(context: Arc<Context>, store: Store<K>, queue: impl Stream<Item = ObjectRef<K>>, reconcile: R)
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    R: Fn(Arc<K>, Arc<Context>) -> F,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let config = controller::Config::default().debounce(DEBOUNCE).concurrency(AT_ONCE);
    let queue = queue.map(Ok::<_, std::convert::Infallible>);
    let measured = |object: Arc<K>, context: Arc<Context>| {
        Box::pin(measure(object.clone(), context.clone(), reconcile(object, context)))
    };
    let shared = context.shared.clone();
    let outcomes = applier(measured, after_error, context, store, queue, config);
    pin_mut!(outcomes);
    while let Some(outcome) = outcomes.next().await {
        shared.progress.served(&K::kind(&()));
        // A reconcile's own error was logged where it happened.
        if let Err(controller::Error::ObjectNotFound(gone)) = outcome {
            let gone = key(K::kind(&()), gone.namespace.as_deref(), &gone.name);
            shared.backoff.forget(&gone);
            shared.notifier.forget(&gone);
        }
    }
}

async fn measure<K: Resource<DynamicType = ()>>(
    object: Arc<K>,
    context: Arc<Context>,
    reconcile: impl Future<Output = Result<Action, Error>>,
) -> Result<Action, Error> {
    let kind = K::kind(&());
    let metrics = &context.shared.metrics;
    let (key, start) = (key_of(&*object), Instant::now());
    context.shared.progress.began(&kind, &key, start);
    let outcome = reconcile.await;
    context.shared.progress.ended(&key);
    metrics.reconciles.with_label_values(&[&*kind]).inc();
    metrics.seconds.with_label_values(&[&*kind]).observe(start.elapsed().as_secs_f64());
    match outcome {
        Err(Error::Conflict { call }) => {
            tracing::debug!(call, "decided on an old version, and is decided anew");
            Ok(Action::requeue(AFTER_CONFLICT))
        }
        Err(Error::Gone { .. } | Error::Terminating { .. }) => Ok(Action::requeue(AFTER_GONE)),
        // Another replica goes on with it, and this process ends.
        Err(Error::NotLeading { .. }) => Ok(Action::await_change()),
        Err(error) => {
            metrics.errors.with_label_values(&[&*kind, error.reason()]).inc();
            tracing::warn!(object = key, reason = error.reason(), %error, "not reconciled, tried again");
            Err(error)
        }
        Ok(action) => {
            context.shared.backoff.forget(&key);
            Ok(action)
        }
    }
}

fn after_error<K: Resource<DynamicType = ()>>(object: Arc<K>, _: &Error, context: Arc<Context>) -> Action {
    Action::requeue(context.shared.backoff.failed(&key_of(&*object)))
}

/// What an object is told from all others by.
pub fn key_of<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let meta = object.meta();
    key(K::kind(&()), meta.namespace.as_deref(), meta.name.as_deref().unwrap_or_default())
}

fn key(kind: Cow<'_, str>, namespace: Option<&str>, name: &str) -> String {
    format!("{kind} {}/{name}", namespace.unwrap_or_default())
}

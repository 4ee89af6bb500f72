//! The keys by which a cluster's ServiceAccount tokens are verified.
//!
//! They are fetched from the API server and kept on the spool's volume, so that tokens are verified while it is away.

use std::{
    io,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jsonwebtoken::jwk::JwkSet;
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};
use tracing::warn;

use crate::ingest::certificate::keep;

/// Between two fetches: a caller who invents key ids must not make us flood the API server.
const PAUSE: Duration = Duration::from_secs(10);
/// For one request to the API server.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a cluster publishes about its tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Published {
    /// Who issues them.
    pub issuer: String,
    /// The keys that they are signed with.
    pub keys: JwkSet,
}

/// The published keys, as they were last fetched.
pub struct Keys {
    cluster: Option<kube::Client>,
    file: PathBuf,
    known: Mutex<Option<Published>>,
    fetched: tokio::sync::Mutex<Option<Fetched>>,
}

/// When the API server was last asked, and whether it answered.
struct Fetched {
    at: Instant,
    answered: bool,
}

/// Why the keys are not known.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The API server is away, or refuses.
    #[error("{0}")]
    Cluster(Box<dyn std::error::Error + Send + Sync>),
    /// It does not answer in time.
    #[error("the API server does not answer")]
    Silent,
    /// Its answer cannot be understood.
    #[error("the API server's answer is not JSON: {0}")]
    Answer(#[from] serde_json::Error),
    /// It was asked only just now.
    #[error("the API server was asked less than {} s ago", PAUSE.as_secs())]
    TooSoon,
}

impl Keys {
    /// Keys of `cluster`, kept in `file`.
    pub fn of_cluster(cluster: kube::Client, file: PathBuf) -> Self {
        let kept = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { cluster: Some(cluster), file, known: Mutex::new(kept), fetched: Default::default() }
    }

    /// Keys that never change.
    #[cfg(test)]
    pub(super) fn fixed(published: Published) -> Self {
        Self { cluster: None, file: PathBuf::new(), known: Mutex::new(Some(published)), fetched: Default::default() }
    }

    /// What is published, fetched again when `kid` is not among it. A key that the cluster does not publish is no error;
    /// whether it does cannot be said while the cluster does not answer.
    pub async fn for_key(&self, kid: &str) -> Result<Published, Unknown> {
        if let Some(published) = self.with(kid) {
            return Ok(published);
        }
        // One asks, and the others wait for what it learns. Callers whose keys are known wait for nobody.
        let mut fetched = self.fetched.lock().await;
        if let Some(published) = self.with(kid) {
            return Ok(published);
        }
        let kept = || self.known().clone().ok_or(Unknown::TooSoon);
        let Some(cluster) = &self.cluster else { return kept() };
        if let Some(Fetched { at, answered }) = &*fetched
            && at.elapsed() < PAUSE
        {
            return if *answered { kept() } else { Err(Unknown::TooSoon) };
        }
        *fetched = Some(Fetched { at: Instant::now(), answered: false });
        let published = fetch(cluster).await?;
        *fetched = Some(Fetched { at: Instant::now(), answered: true });
        if let Err(error) = self.keep(&published) {
            warn!(file = %self.file.display(), %error, "the cluster's keys cannot be kept; they are fetched again at the next start");
        }
        *self.known() = Some(published.clone());
        Ok(published)
    }

    /// What is known, if `kid` is among it.
    fn with(&self, kid: &str) -> Option<Published> {
        self.known().as_ref().filter(|published| published.keys.find(kid).is_some()).cloned()
    }

    fn known(&self) -> MutexGuard<'_, Option<Published>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, published: &Published) -> io::Result<()> {
        keep(&self.file, &serde_json::to_string(published)?, 0o644)
    }
}

async fn fetch(cluster: &kube::Client) -> Result<Published, Unknown> {
    #[derive(Deserialize)]
    struct Discovery {
        issuer: String,
    }
    let discovery: Discovery = serde_json::from_str(&get(cluster, "/.well-known/openid-configuration").await?)?;
    let keys = serde_json::from_str(&get(cluster, "/openid/v1/jwks").await?)?;
    Ok(Published { issuer: discovery.issuer, keys })
}

async fn get(cluster: &kube::Client, path: &str) -> Result<String, Unknown> {
    let request = axum::http::Request::get(path).body(Vec::new()).map_err(|error| Unknown::Cluster(error.into()))?;
    let answer = tokio::time::timeout(PATIENCE, cluster.request_text(request)).await;
    answer.map_err(|_| Unknown::Silent)?.map_err(|error| Unknown::Cluster(error.into()))
}

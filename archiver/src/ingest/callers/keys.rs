//! The keys by which a cluster's ServiceAccount tokens are verified.
//!
//! They are fetched from the API server and kept on the spool's volume, so that tokens are verified while it is away.

use std::path::PathBuf;

use jsonwebtoken::jwk::JwkSet;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Mutex,
    time::{Duration, Instant},
};
use tracing::warn;

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
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    published: Option<Published>,
    fetched_at: Option<Instant>,
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
        Self { cluster: Some(cluster), file, known: Mutex::new(Known { published: kept, fetched_at: None }) }
    }

    /// Keys that never change.
    #[cfg(test)]
    pub(super) fn fixed(published: Published) -> Self {
        let known = Known { published: Some(published), fetched_at: None };
        Self { cluster: None, file: PathBuf::new(), known: Mutex::new(known) }
    }

    /// What is published, fetched again when `kid` is not among it. A key that the cluster does not publish is no error.
    pub async fn for_key(&self, kid: &str) -> Result<Published, Unknown> {
        let mut known = self.known.lock().await;
        if let Some(published) = known.published.as_ref().filter(|published| published.keys.find(kid).is_some()) {
            return Ok(published.clone());
        }
        let Some(cluster) = &self.cluster else { return known.published.clone().ok_or(Unknown::TooSoon) };
        if known.fetched_at.is_some_and(|at| at.elapsed() < PAUSE) {
            return known.published.clone().ok_or(Unknown::TooSoon);
        }
        known.fetched_at = Some(Instant::now());
        let published = fetch(cluster).await?;
        if let Err(error) =
            serde_json::to_vec(&published).map_err(Into::into).and_then(|text| std::fs::write(&self.file, text))
        {
            warn!(file = %self.file.display(), %error, "the cluster's keys cannot be kept; they are fetched again at the next start");
        }
        known.published = Some(published.clone());
        Ok(published)
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

//! Callers: who may hand messages in, and for which sources.
//!
//! Inside the cluster a caller shows a ServiceAccount token for the audience `imarchive.dev/NAMESPACE`; the Archiver lists
//! the ServiceAccounts and their sources. Outside, it shows a token from a folder with one file a client: the file's name
//! is the client and the one source it may send, its content the token.

use std::{collections::BTreeSet, fs, path::PathBuf};

use axum::http::{HeaderMap, header};
use imarchive_crds::ArchiverSpec;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header, jwk::Jwk};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tracing::warn;

use super::{Kind, Problem};

mod keys;

pub use keys::{Keys, Published};

/// How far two clocks may be apart.
const LEEWAY: i64 = 10;

/// Signatures that a cluster's issuer makes. A symmetric one would let every reader of the key be an issuer.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::ES256, Algorithm::ES384];

/// Tells callers by their tokens.
pub struct Callers {
    namespace: String,
    tokens: PathBuf,
    keys: Option<Keys>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: i64,
}

impl Callers {
    /// Callers of the archiver of `namespace`. Without `keys` there is no cluster, and only the folder `tokens` counts.
    pub fn new(namespace: &str, tokens: PathBuf, keys: Option<Keys>) -> Self {
        Self { namespace: namespace.to_owned(), tokens, keys }
    }

    /// The sources that the caller may send.
    pub async fn sources(
        &self,
        headers: &HeaderMap,
        spec: &ArchiverSpec,
        now: Timestamp,
    ) -> Result<BTreeSet<String>, Problem> {
        let token = bearer(headers)?;
        if let Some(client) = self.client(token) {
            return Ok(BTreeSet::from([client]));
        }
        let subject = match &self.keys {
            Some(keys) => subject(token, keys, &format!("imarchive.dev/{}", self.namespace), now).await?,
            None => return Err(invalid("it is no client's")),
        };
        let listed = spec.ingest.clients.iter().filter(|client| {
            let namespace = client.namespace.as_deref().unwrap_or(&self.namespace);
            subject == format!("system:serviceaccount:{namespace}:{}", client.service_account)
        });
        let sources: BTreeSet<String> = listed.flat_map(|client| client.sources.iter().cloned()).collect();
        if sources.is_empty() {
            let detail = format!("{subject} is not among the Archiver's spec.ingest.clients");
            return Err(Problem::new(Kind::SourceForbidden, detail));
        }
        Ok(sources)
    }

    /// The client whose token this is. The folder is read each time: a mounted Secret changes under us.
    fn client(&self, token: &str) -> Option<String> {
        let shown = Sha256::digest(token);
        let files = fs::read_dir(&self.tokens).ok()?.flatten();
        let mut clients = files.filter(|file| !file.file_name().to_string_lossy().starts_with('.'));
        let client = clients.find(|file| {
            let kept = fs::read_to_string(file.path()).unwrap_or_default();
            // Of digests, so that the time taken tells nothing of the token.
            !kept.trim().is_empty() && Sha256::digest(kept.trim()) == shown
        })?;
        client.file_name().into_string().ok()
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || Problem::new(Kind::TokenMissing, "send the header Authorization: Bearer TOKEN");
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?.to_str().map_err(|_| missing())?;
    let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() { Ok(token.trim()) } else { Err(missing()) }
}

fn invalid(detail: &str) -> Problem {
    Problem::new(Kind::TokenInvalid, format!("the token is not valid here: {detail}"))
}

/// The subject of a token that `keys` vouch for.
async fn subject(token: &str, keys: &Keys, audience: &str, now: Timestamp) -> Result<String, Problem> {
    let header = decode_header(token).map_err(|_| invalid("it is neither a client's nor a ServiceAccount's"))?;
    let kid = header.kid.ok_or_else(|| invalid("it names no key"))?;
    let published = keys.for_key(&kid).await.map_err(|error| {
        warn!(%error, "the cluster's keys cannot be fetched");
        Problem::new(Kind::NotReady, "the cluster's keys cannot be fetched now")
    })?;
    let jwk = published.keys.find(&kid).ok_or_else(|| invalid("its key is not the cluster's"))?;
    let claims = verify(token, jwk, header.alg, &published.issuer, audience)?;
    if claims.exp + LEEWAY < now.as_second() {
        return Err(Problem::new(Kind::TokenExpired, "the token has expired: ask for a new one"));
    }
    if claims.nbf > now.as_second() + LEEWAY {
        return Err(invalid("it is not valid yet"));
    }
    Ok(claims.sub)
}

fn verify(token: &str, jwk: &Jwk, algorithm: Algorithm, issuer: &str, audience: &str) -> Result<Claims, Problem> {
    if !ALGORITHMS.contains(&algorithm) {
        return Err(invalid("its algorithm is not accepted"));
    }
    let key = jsonwebtoken::DecodingKey::from_jwk(jwk).map_err(|_| invalid("its key cannot be used"))?;
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    // Times are compared with the caller's `now`, not with a clock that the library reads.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    use jsonwebtoken::errors::ErrorKind;
    decode(token, &key, &validation).map(|data| data.claims).map_err(|error| match error.kind() {
        ErrorKind::InvalidAudience => invalid(&format!("its audience is not {audience:?}")),
        ErrorKind::InvalidIssuer => invalid("its issuer is not this cluster"),
        ErrorKind::MissingRequiredClaim(claim) => invalid(&format!("it lacks the claim {claim}")),
        _ => invalid("its signature does not fit"),
    })
}

#[cfg(test)]
mod tests;

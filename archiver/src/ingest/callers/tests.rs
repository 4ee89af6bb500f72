use axum::http::HeaderValue;
use imarchive_crds::Archiver;
use jsonwebtoken::{EncodingKey, Header, encode, jwk::JwkSet};
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// A cluster's issuer: its signing key, and what it publishes.
fn issuer() -> (EncodingKey, Published) {
    let pair = rcgen::KeyPair::generate().expect("a P-256 key");
    let key = EncodingKey::from_ec_der(&pair.serialize_der());
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a public key");
    jwk.common.key_id = Some("k1".to_owned());
    (key, Published { issuer: ISSUER.to_owned(), keys: JwkSet { keys: vec![jwk] } })
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": ["imarchive.dev/acme"], "sub": "system:serviceaccount:acme:chat", "exp": NOW + 600, "nbf": NOW})
}

fn spec() -> ArchiverSpec {
    let archiver = json!({
        "apiVersion": "imarchive.dev/v1alpha1", "kind": "Archiver", "metadata": {"name": "archiver"},
        "spec": {"organization": {"name": "Acme", "domains": ["acme.example"]},
                 "ingest": {"clients": [{"serviceAccount": "chat", "sources": ["acme-chat"]}]}},
    });
    serde_json::from_value::<Archiver>(archiver).expect("valid").spec
}

/// The sources of a caller who shows a token with these claims, `NOW`.
async fn shown(claims: Value) -> Result<BTreeSet<String>, Problem> {
    let (key, published) = issuer();
    let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::ES256) };
    let token = encode(&header, &claims, &key).expect("signed");
    ask(&token, published).await
}

async fn ask(token: &str, published: Published) -> Result<BTreeSet<String>, Problem> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).expect("ASCII"));
    let callers = Callers::new("acme", PathBuf::from("/nowhere"), Some(Keys::fixed(published)));
    callers.sources(&headers, &spec(), Timestamp::from_second(NOW).expect("in range")).await
}

fn with(field: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[field] = value;
    claims
}

#[tokio::test]
async fn a_listed_service_account_may_send_its_sources() {
    assert_eq!(shown(claims()).await, Ok(BTreeSet::from(["acme-chat".to_owned()])));
}

#[tokio::test]
async fn an_expired_token_is_told_from_a_wrong_one() {
    assert_eq!(shown(with("exp", json!(NOW - 60))).await.expect_err("refused").kind, Kind::TokenExpired);
}

#[tokio::test]
async fn another_audience_issuer_or_time_is_refused() {
    for (field, value) in
        [("aud", json!(["imarchive.dev/other"])), ("iss", json!("https://evil.example")), ("nbf", json!(NOW + 60))]
    {
        assert_eq!(shown(with(field, value)).await.expect_err("refused").kind, Kind::TokenInvalid, "{field}");
    }
}

#[tokio::test]
async fn an_unlisted_service_account_is_forbidden() {
    let other = with("sub", json!("system:serviceaccount:other:chat"));
    assert_eq!(shown(other).await.expect_err("refused").kind, Kind::SourceForbidden);
}

#[tokio::test]
async fn a_token_signed_by_another_key_is_refused() {
    let (key, _) = issuer();
    let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::ES256) };
    let token = encode(&header, &claims(), &key).expect("signed");
    assert_eq!(ask(&token, issuer().1).await.expect_err("refused").kind, Kind::TokenInvalid);
}

#[tokio::test]
async fn an_unsigned_or_symmetrically_signed_token_is_refused() {
    let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::HS256) };
    let token = encode(&header, &claims(), &EncodingKey::from_secret(b"public")).expect("signed");
    assert_eq!(ask(&token, issuer().1).await.expect_err("refused").kind, Kind::TokenInvalid);
    assert_eq!(ask("not-a-token", issuer().1).await.expect_err("refused").kind, Kind::TokenInvalid);
}

#[tokio::test]
async fn a_client_outside_the_cluster_sends_the_source_of_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("old-chat"), "secret-token\n").expect("written");
    let callers = Callers::new("acme", folder.path().to_owned(), None);
    let now = Timestamp::from_second(NOW).expect("in range");
    let mut headers = HeaderMap::new();
    assert_eq!(callers.sources(&headers, &spec(), now).await.expect_err("refused").kind, Kind::TokenMissing);
    headers.insert("authorization", HeaderValue::from_static("Bearer secret-token"));
    assert_eq!(callers.sources(&headers, &spec(), now).await, Ok(BTreeSet::from(["old-chat".to_owned()])));
    headers.insert("authorization", HeaderValue::from_static("Bearer other-token"));
    assert_eq!(callers.sources(&headers, &spec(), now).await.expect_err("refused").kind, Kind::TokenInvalid);
}

#[tokio::test(start_paused = true)]
async fn while_the_api_server_is_away_an_unknown_key_is_not_judged_and_known_ones_are() {
    let (key, published) = issuer();
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("keys.json");
    std::fs::write(&file, serde_json::to_vec(&published).expect("JSON")).expect("written");
    // Nothing listens there.
    let away = kube::Config::new("http://127.0.0.1:1".parse().expect("a URL"));
    let keys = Keys::of_cluster(kube::Client::try_from(away).expect("a client"), file);
    let callers = Callers::new("acme", home.path().join("tokens"), Some(keys));

    let now = Timestamp::from_second(NOW).expect("in range");
    let signed = |kid: &str| {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
        let token = encode(&header, &claims(), &key).expect("signed");
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).expect("ASCII");
        HeaderMap::from_iter([(header::AUTHORIZATION, bearer)])
    };
    for _ in 0..3 {
        let unknown = callers.sources(&signed("k2"), &spec(), now).await;
        assert_eq!(unknown.map_err(|problem| problem.kind), Err(Kind::NotReady), "it may be the cluster's newest");
        callers.sources(&signed("k1"), &spec(), now).await.expect("a kept key");
    }
}

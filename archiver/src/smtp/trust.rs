//! Decides which servers are trusted.
//!
//! Publicly trusted CAs are, and those that a cluster administrator adds; a certificate that vouches for itself never
//! is. There is no way to turn this off.

use std::{fmt, sync::Arc};

use imarchive_crds::{Reason, Stage, TlsReport};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{BoxStream, Failure, certificate, failure::Fault};

/// The trusted CAs.
#[derive(Clone)]
pub struct Trust(TlsConnector);

/// Extra roots that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRoots {
    /// Not PEM.
    #[error("the extra roots are not PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    /// PEM of something else.
    #[error("the extra roots hold no certificate")]
    Empty,
    /// A certificate that cannot be a root.
    #[error("the extra root number {number} cannot be used: {error}")]
    Root {
        /// Which one, from 1.
        number: usize,
        /// Why not.
        error: rustls::Error,
    },
    /// rustls cannot be configured with these roots.
    #[error("TLS cannot be configured: {0}")]
    Tls(Box<dyn std::error::Error + Send + Sync>),
}

impl Trust {
    /// Trusts the publicly trusted CAs, and those in `extra_roots_pem`; blank text is no root.
    pub fn new(extra_roots_pem: Option<&[u8]>) -> Result<Self, InvalidRoots> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(pem) = extra_roots_pem.filter(|pem| !pem.trim_ascii().is_empty()) {
            let mut count = 0;
            for root in CertificateDer::pem_slice_iter(pem) {
                count += 1;
                let added = roots.add(root.map_err(InvalidRoots::Pem)?);
                added.map_err(|error| InvalidRoots::Root { number: count, error })?;
            }
            if count == 0 {
                return Err(InvalidRoots::Empty);
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| InvalidRoots::Tls(error.into()))?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| InvalidRoots::Tls(error.into()))?
            // "Dangerous" because a verifier of one's own can trust everybody; this one trusts fewer than the default.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { chains, algorithms }))
            .with_no_client_auth();
        // A resumed session shows no certificate, so there would be none to verify.
        config.resumption = Resumption::disabled();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Encrypts the connection, if the certificate is one for `host` and trusted. Takes as long as the server does.
    pub(super) async fn handshake(&self, stream: BoxStream, host: &str) -> Result<TlsStream<BoxStream>, Failure> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            Failure::new(Stage::Handshake, Reason::InvalidConnection, "no certificate can bear this host")
        })?;
        self.0.connect(name, stream).await.map_err(|error| {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) => {
                    match why.downcast_ref::<Distrust>() {
                        Some(distrust) => Failure::new(Stage::Certificate, distrust.reason, &distrust.detail),
                        None => Failure::new(Stage::Certificate, Reason::CertificateUntrusted, why),
                    }
                }
                Some(rustls::Error::InvalidMessage(_)) => {
                    Failure::new(Stage::Handshake, Reason::HandshakeFailed, "what the server answers is not TLS")
                }
                Some(other) => Failure::new(Stage::Handshake, Reason::HandshakeFailed, other),
                None => Fault::from(error).at(Stage::Handshake),
            }
        })
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

/// What the handshake agreed on.
pub(super) fn report(stream: &TlsStream<BoxStream>) -> TlsReport {
    let connection = stream.get_ref().1;
    let version = connection.protocol_version().and_then(|version| version.as_str()).unwrap_or_default();
    let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
    let leaf = connection.peer_certificates().and_then(<[_]>::first).map(certificate::explain);
    TlsReport {
        // As IANA writes them; rustls has underscores in the one, and 13 in the other.
        version: version.replace('_', "."),
        cipher: cipher.replacen("TLS13_", "TLS_", 1),
        issuer: leaf.as_ref().map(|leaf| super::words::fit(&leaf.issuer)).unwrap_or_default(),
        not_after: leaf.and_then(|leaf| leaf.not_after).map(Time),
    }
}

/// Why a certificate is not trusted, in our words.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
struct Distrust {
    reason: Reason,
    detail: String,
}

impl From<Distrust> for rustls::Error {
    fn from(distrust: Distrust) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(distrust))))
    }
}

/// Refuses certificates that vouch for themselves, listed as roots or not, then asks webpki.
#[derive(Debug)]
struct Verifier {
    chains: Arc<WebPkiServerVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match certificate::is_self_signed(leaf, &self.algorithms) {
            Ok(false) => {}
            Ok(true) => {
                let detail = "the certificate is signed with its own key".to_owned();
                return Err(Distrust { reason: Reason::CertificateSelfSigned, detail }.into());
            }
            Err(error) => {
                let detail = format!("the certificate cannot be read: {error}");
                return Err(Distrust { reason: Reason::CertificateUntrusted, detail }.into());
            }
        }
        self.chains.verify_server_cert(leaf, intermediates, name, ocsp, now).map_err(|error| {
            let rustls::Error::InvalidCertificate(error) = error else { return error };
            distrust(&error, leaf).into()
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// webpki's refusal as a reason. What is not about time or name means that no trusted CA vouches for the server.
fn distrust(error: &CertificateError, leaf: &CertificateDer<'_>) -> Distrust {
    use CertificateError as E;
    let reason = match error {
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            Reason::CertificateExpired
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => Reason::CertificateNameMismatch,
        _ => Reason::CertificateUntrusted,
    };
    let leaf = certificate::explain(leaf);
    let detail = match error {
        E::UnknownIssuer => format!("the certificate is by {}, which is no trusted CA", leaf.issuer),
        E::ExpiredContext { not_after, .. } if leaf.not_after == time(not_after) => {
            format!("the certificate expired at {}", shown(not_after))
        }
        E::ExpiredContext { not_after, .. } => {
            format!("a CA's certificate, which the server's depends on, expired at {}", shown(not_after))
        }
        E::NotValidYetContext { not_before, time } => {
            format!("the certificate is not valid before {}, and it is {}", shown(not_before), shown(time))
        }
        E::NotValidForNameContext { expected, presented } => {
            format!("the certificate is for {}, not for {}", names(presented), expected.to_str())
        }
        other => format!("the certificate cannot be used: {other}"),
    };
    Distrust { reason, detail }
}

fn time(time: &UnixTime) -> Option<Timestamp> {
    i64::try_from(time.as_secs()).ok().and_then(|second| Timestamp::from_second(second).ok())
}

fn shown(at: &UnixTime) -> String {
    time(at).map_or_else(|| "an unknown time".to_owned(), |at| at.to_string())
}

/// The first host names among those that webpki found in a certificate. It writes them as `DnsName("archive.example")`.
fn names(presented: &[String]) -> String {
    let host = |name: &String| Some(name.strip_prefix("DnsName(\"")?.strip_suffix("\")")?.to_owned());
    let hosts: Vec<String> = presented.iter().filter_map(host).take(5).collect();
    if hosts.is_empty() { "no host name at all".to_owned() } else { hosts.join(" and ") }
}

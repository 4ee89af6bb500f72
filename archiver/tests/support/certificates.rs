//! Certificates of all kinds, made for the tests of trust.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// A CA, and its certificate.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = Self::params(name);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A CA that `parent` vouches for.
    pub fn below(parent: &Self, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = Self::params(name);
        let certificate = params.signed_by(&key, &parent.issuer).expect("a certificate");
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new([]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// What proves to be `host`, by a certificate of this CA.
    pub fn issue(&self, host: &str) -> Identity {
        self.issue_with(host, |_| {})
    }

    /// The same, after `change`.
    pub fn issue_with(&self, host: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = leaf(host);
        change(&mut params);
        Identity::of(params.signed_by(&key, &self.issuer).expect("a certificate"), &key)
    }
}

/// A certificate that vouches for itself.
pub fn self_signed(host: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let key = KeyPair::generate().expect("a key");
    let mut params = leaf(host);
    change(&mut params);
    Identity::of(params.self_signed(&key).expect("a certificate"), &key)
}

/// A certificate that vouches for itself, and says that `issuer` did.
pub fn self_signed_in_the_name_of(issuer: &str, host: &str) -> Identity {
    let key = KeyPair::generate().expect("a key");
    let pretended = Issuer::new(Authority::params(issuer), &key);
    Identity::of(leaf(host).signed_by(&key, &pretended).expect("a certificate"), &key)
}

fn leaf(host: &str) -> CertificateParams {
    let mut params = CertificateParams::new([host.to_owned()]).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, host);
    params
}

/// What a server shows: its certificate, others that explain it, and the proof that it has the key.
#[derive(Clone)]
pub struct Identity {
    pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Identity {
    fn of(certificate: rcgen::Certificate, key: &KeyPair) -> Self {
        Self { pem: certificate.pem(), chain: vec![certificate.der().clone()], key: key.serialize_der() }
    }

    /// Shows the certificate of `authority` too.
    pub fn with(mut self, authority: &Authority) -> Self {
        self.chain.push(authority.certificate.der().clone());
        self
    }

    /// The certificate of the server itself.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn server_config(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .expect("a certificate that fits its key");
        Arc::new(config)
    }
}

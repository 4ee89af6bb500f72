//! The certificate that callers see.
//!
//! Unless a person brings one, the archiver is its own CA: the CA's key is made on the spool volume and never leaves it;
//! only its certificate does, `ca.crt`. The server's own certificate lives in memory and is made anew at every start.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// A file holds no certificate or key.
    #[error("{0} is not PEM: {1}")]
    Pem(PathBuf, rustls::pki_types::pem::Error),
    /// A certificate cannot be made.
    #[error("the certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS cannot use it.
    #[error("the certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// TLS with a certificate by the CA of `spool`, valid for 90 days for `names`. The CA is made when there is none.
pub fn own(spool: &Path, names: Vec<String>, now: Timestamp) -> Result<Arc<ServerConfig>, CertificateError> {
    let issuer = Issuer::new(authority_params(), authority(spool)?);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = named("imarchive archiver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = day(now - 24.hours());
    params.not_after = day(now + (90 * 24).hours());
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    config(vec![certificate.der().clone()], key)
}

/// TLS with a person's certificate chain and key, in PEM files.
pub fn given(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, CertificateError> {
    let pem = |path: &Path, error| CertificateError::Pem(path.to_owned(), error);
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).map_err(|error| pem(certificate, error))?.collect();
    let chain = chain.map_err(|error| pem(certificate, error))?;
    config(chain, PrivateKeyDer::from_pem_file(key).map_err(|error| pem(key, error))?)
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The CA's key, from the spool. What else is in its certificate never changes.
fn authority(spool: &Path) -> Result<KeyPair, CertificateError> {
    let (certificate, key) = (spool.join("ca.crt"), spool.join("ca.key"));
    if let (true, Ok(key)) = (certificate.exists(), fs::read_to_string(&key)) {
        return Ok(KeyPair::from_pem(&key)?);
    }
    let made = KeyPair::generate()?;
    // The key first: a certificate without its key would be published and then replaced.
    keep(&key, &made.serialize_pem(), 0o600).map_err(|error| CertificateError::File(key, error))?;
    keep(&certificate, &authority_params().self_signed(&made)?.pem(), 0o644)
        .map_err(|error| CertificateError::File(certificate, error))?;
    Ok(made)
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("imarchive ingest CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn day(at: Timestamp) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

/// Writes a file whole or not at all: a torn CA would lock every caller out at the next start.
pub(super) fn keep(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut written = File::options().create(true).write(true).truncate(true).mode(mode).open(&draft)?;
    written.write_all(text.as_bytes()).and_then(|()| written.sync_all())?;
    fs::rename(&draft, path)
}

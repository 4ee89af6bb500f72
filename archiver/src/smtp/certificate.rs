//! What a server's certificate says of itself.

use std::time::Duration;

use jiff::Timestamp;
use rustls::{crypto::WebPkiSupportedAlgorithms, pki_types::CertificateDer};
use x509_cert::{
    Certificate,
    der::{self, Decode, Reader, SliceReader, Tag, asn1::AnyRef, asn1::BitStringRef},
};

/// What a person wants to know of a certificate.
pub(super) struct Explanation {
    pub(super) issuer: String,
    pub(super) not_after: Option<Timestamp>,
}

/// Explains `certificate` as far as it can be read.
pub(super) fn explain(certificate: &CertificateDer<'_>) -> Explanation {
    match Certificate::from_der(certificate) {
        Ok(certificate) => {
            let certificate = certificate.tbs_certificate();
            let not_after: Duration = certificate.validity().not_after.to_unix_duration();
            let not_after =
                i64::try_from(not_after.as_secs()).ok().and_then(|second| Timestamp::from_second(second).ok());
            Explanation { issuer: certificate.issuer().to_string(), not_after }
        }
        Err(_) => Explanation { issuer: "an issuer that cannot be read".to_owned(), not_after: None },
    }
}

/// Whether the certificate's signature was made with the certificate's own key.
///
/// It is asked of the signature alone, not of the names: whoever holds the key can write any names. An algorithm that is
/// not among `algorithms` proves nothing here, and convinces no verifier later.
pub(super) fn is_self_signed(
    certificate: &CertificateDer<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<bool, der::Error> {
    let signed = Signed::read(certificate)?;
    let mut fitting = algorithms.all.iter().filter(|algorithm| {
        algorithm.signature_alg_id().as_ref() == signed.signature_algorithm
            && algorithm.public_key_alg_id().as_ref() == signed.key_algorithm
    });
    Ok(fitting.any(|algorithm| algorithm.verify_signature(signed.key, signed.message, signed.signature).is_ok()))
}

/// The parts of a certificate that its signature is made of: RFC 5280 4.1. Taken as they stand, for a signature is over
/// bytes, not over what a parser makes of them.
struct Signed<'c> {
    message: &'c [u8],
    key_algorithm: &'c [u8],
    key: &'c [u8],
    signature_algorithm: &'c [u8],
    signature: &'c [u8],
}

impl<'c> Signed<'c> {
    fn read(certificate: &'c [u8]) -> Result<Self, der::Error> {
        SliceReader::new(certificate)?.sequence(|certificate| {
            let message = certificate.tlv_bytes()?;
            let (signature_algorithm, signature) = (algorithm(certificate)?, bits(certificate)?);
            let (key_algorithm, key) = SliceReader::new(message)?.sequence(public_key)?;
            Ok(Self { message, key_algorithm, key, signature_algorithm, signature })
        })
    }
}

/// The algorithm and the bits of subjectPublicKeyInfo in a TBSCertificate.
fn public_key<'c>(tbs: &mut SliceReader<'c>) -> Result<(&'c [u8], &'c [u8]), der::Error> {
    let is_version = matches!(Tag::peek(tbs)?, Tag::ContextSpecific { .. });
    // serialNumber, signature, issuer, validity, subject
    for _ in 0..5 + usize::from(is_version) {
        tbs.tlv_bytes()?;
    }
    let key = tbs.sequence(|key| Ok::<_, der::Error>((algorithm(key)?, bits(key)?)))?;
    tbs.drain(tbs.remaining_len())?;
    Ok(key)
}

/// The content of an AlgorithmIdentifier, which is how rustls names algorithms.
fn algorithm<'c>(reader: &mut SliceReader<'c>) -> Result<&'c [u8], der::Error> {
    Ok(AnyRef::decode(reader)?.value())
}

fn bits<'c>(reader: &mut SliceReader<'c>) -> Result<&'c [u8], der::Error> {
    BitStringRef::decode(reader)?.as_bytes().ok_or_else(|| Tag::BitString.value_error().into())
}

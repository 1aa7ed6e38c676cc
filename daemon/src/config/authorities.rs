//! A file of certificate authorities, as it is named to the daemon.
//!
//! Decides at the start whether it can be used, rather than at the first server that is not
//! trusted. Refuses a file without a certificate, one with a certificate that can't be an
//! authority, one whose PEM is broken, and a large one.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{ConfigError, read_capped};

/// Largest bundle of authorities: the system's own has 220 KB.
const MAX_BYTES: u64 = 1024 * 1024;

/// The file's text, once each of its certificates is known to be usable.
///
/// # Errors
/// [`ConfigError`].
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let pem = read_capped(path, MAX_BYTES)?;
    let mut number = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        number += 1;
        let bad = |why: String| ConfigError::BadCertificate { path: path.to_owned(), number, why };
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        RootCertStore::empty().add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if number == 0 { Err(ConfigError::NoCertificate(path.to_owned())) } else { Ok(pem) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a file with this in it.
    fn with(text: &str) -> Result<Vec<u8>, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, text).unwrap();
        read(&file)
    }

    /// A block of PEM around text that is base64 already.
    fn block(label: &str, base64: &str) -> String {
        format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
    }

    #[test]
    fn a_file_without_a_usable_certificate_is_refused_by_what_is_wrong() {
        for none in ["", "this is no certificate", &block("PRIVATE KEY", "AAAA")] {
            assert!(matches!(with(none), Err(ConfigError::NoCertificate(_))), "{none}");
        }
        for bad in [
            block("CERTIFICATE", "AAAA"),
            block("CERTIFICATE", "not base64!"),
            "-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(),
        ] {
            let error = with(&bad).unwrap_err();
            assert!(matches!(error, ConfigError::BadCertificate { number: 1, .. }), "{bad}: {error}");
            assert!(error.to_string().contains("certificate number 1 in "), "{error}");
        }
        let large = "#".repeat(usize::try_from(MAX_BYTES).unwrap() + 1);
        assert!(matches!(with(&large), Err(ConfigError::TooLarge(_))));
    }
}

//! Why there is no trusted connection: what is wrong with a server's certificate, or that what
//! answers speaks no TLS.
//!
//! Decides by the TLS library's own error, wherever it lies in a chain of errors, and never by the
//! words of one. Refuses to show what a certificate says as it stands there: it is a stranger's
//! text until it is trusted.

use std::error::Error;

use parsec_protocol::ids::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{CertificateError, Error as Tls};

use crate::os::clock::moment;

/// Errors inside each other that are looked through: the libraries nest four or five.
const DEPTH_MAX: usize = 16;
/// Characters shown of what the library says: it may quote a certificate of any length.
const DETAIL_MAX_CHARS: usize = 200;

/// What is wrong with the server's TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// No authority that this machine trusts vouches for the certificate.
    #[error("nobody whom this machine trusts vouches for the server's certificate ({0})")]
    Untrusted(String),
    /// The certificate is one of another server.
    #[error("the server's certificate is for another name ({0})")]
    Name(String),
    /// The certificate's time is over, by this machine's clock.
    #[error("the server's certificate has expired{}", .0.map(|end| format!(": it was good until {}", moment(end))).unwrap_or_default())]
    Expired(Option<Timestamp>),
    /// The certificate's time has not begun, by this machine's clock.
    #[error("the server's certificate is not valid yet{}", .0.map(|begin| format!(": it is good from {} on", moment(begin))).unwrap_or_default())]
    NotYetValid(Option<Timestamp>),
    /// What answers speaks no TLS.
    #[error("what answers there speaks no TLS")]
    NotTls,
    /// The two ends agree on no way to encrypt, or the connection was changed on the way.
    #[error("TLS failed ({0})")]
    Handshake(String),
}

/// What the TLS library found, if it is what failed.
pub(super) fn fault(error: &(dyn Error + 'static)) -> Option<TlsFault> {
    find(error, DEPTH_MAX).map(read)
}

/// The library's error in a chain. An I/O error's own source is passed over by its `source()`, so
/// it is asked for what it holds.
fn find<'e>(error: &'e (dyn Error + 'static), depth: usize) -> Option<&'e Tls> {
    let depth = depth.checked_sub(1)?;
    if let Some(tls) = error.downcast_ref::<Tls>() {
        return Some(tls);
    }
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    held.and_then(|held| find(held, depth)).or_else(|| error.source().and_then(|source| find(source, depth)))
}

fn read(error: &Tls) -> TlsFault {
    match error {
        Tls::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired => TlsFault::Expired(None),
            CertificateError::ExpiredContext { not_after, .. } => TlsFault::Expired(Some(time(*not_after))),
            CertificateError::NotValidYet => TlsFault::NotYetValid(None),
            CertificateError::NotValidYetContext { not_before, .. } => {
                TlsFault::NotYetValid(Some(time(*not_before)))
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFault::Name(plain(&certificate.to_string()))
            }
            // Whatever else is wrong with it (no such authority, revoked, malformed): it is not to
            // be trusted.
            other => TlsFault::Untrusted(plain(&other.to_string())),
        },
        Tls::InvalidMessage(_) => TlsFault::NotTls,
        other => TlsFault::Handshake(plain(&other.to_string())),
    }
}

fn time(time: UnixTime) -> Timestamp {
    Timestamp(time.as_secs().saturating_mul(Timestamp::SECOND))
}

/// Printable ASCII of a bounded length.
pub(super) fn plain(text: &str) -> String {
    let shown = |letter: char| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' };
    text.chars().take(DETAIL_MAX_CHARS).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn it_is_found_wherever_it_lies() {
        let deep = |error: Tls| io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
        let expired = Tls::InvalidCertificate(CertificateError::Expired);
        assert_eq!(fault(&deep(expired)), Some(TlsFault::Expired(None)));
        let unknown = Tls::InvalidCertificate(CertificateError::UnknownIssuer);
        assert!(matches!(fault(&unknown), Some(TlsFault::Untrusted(_))));
        assert_eq!(fault(&io::Error::other("certificate expired")), None, "words are no evidence");
    }

    #[test]
    fn a_strangers_words_are_shown_as_letters() {
        let fault = fault(&Tls::General("\u{1b}[2Jgone\n".into())).unwrap();
        let text = fault.to_string();
        assert!(text.contains("?[2Jgone?") && text.is_ascii(), "{text}");
        assert!(plain(&"x".repeat(10_000)).len() <= DETAIL_MAX_CHARS);
    }
}

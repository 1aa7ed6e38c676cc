//! The mail that carries an invitation's link: by an SMTP server, or into a directory.
//!
//! Decides how long sending may take; what it says is decided in `welcome/wording.rs`. Refuses
//! links of other servers. The link passes through and is kept nowhere: not in the database, not in
//! a log. A mail that fails never fails the invitation.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use lettre::message::{Mailbox, Message, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use parsec_protocol::ids::{Email, Invited, OrganisationId, Token};
use parsec_protocol::relay::{MailOutcome, NewInvitation};
use tokio::sync::Semaphore;

use crate::config::Mail;
use crate::folders::sync_parent;
use crate::install::Offers;
use crate::mail_queue::PAUSES;
use crate::welcome::{Whom, Wording};

/// The protocol's longest link.
const LINK_MAX_BYTES: usize = 2_048;
/// A link secret's length.
const LINK_SECRET_BYTES: usize = 32;
/// How long a mail server may take: the caller is waiting for the answer, and its daemon gives up
/// after some 30 seconds.
const SEND_WAIT: Duration = Duration::from_secs(10);
/// Mails on their way at once: more than a small mail server takes in parallel.
const SENDING_MAX: usize = 16;

/// A link that was checked to be this server's. Silent in `Debug`: it opens an invitation.
pub(crate) struct Link(String);

/// What is to be mailed.
pub(crate) struct OutgoingMail {
    pub(crate) organisation: OrganisationId,
    pub(crate) to: Email,
    pub(crate) by: Email,
    pub(crate) link: Link,
}

/// Where mail goes.
pub(crate) enum MailTransport {
    /// Nowhere.
    None,
    /// One file for each.
    Directory(PathBuf),
    /// A mail server.
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
}

/// Sets mail up as the settings say.
///
/// # Errors
/// [`MailSetupError`]: a folder that isn't there or can't be written, an SMTP address that isn't
/// one.
pub(crate) fn set_up(
    mail: &Mail,
    pauses: &[Duration],
    from: Option<&str>,
    public_url: &str,
) -> Result<Mailer, MailSetupError> {
    let transport = match mail {
        Mail::None => MailTransport::None,
        Mail::Directory(directory) => {
            let failed = |source| MailSetupError::Directory { path: directory.clone(), source };
            try_writing(directory).map_err(failed)?;
            MailTransport::Directory(directory.clone())
        }
        Mail::Smtp { url_file, ca } => smtp(url_file, ca.as_deref())?,
    };
    Ok(Mailer { pauses: pauses.to_vec(), ..Mailer::new(transport, from, public_url)? })
}

/// What came of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// There is nothing more to try.
    Over(MailOutcome),
    /// It may work later.
    Trouble,
}

/// Sends mail.
pub(crate) struct Mailer {
    transport: MailTransport,
    pauses: Vec<Duration>,
    from: Mailbox,
    /// `https://host[:port]`, without a slash at the end.
    public_url: String,
    sending: Arc<Semaphore>,
}

/// Why mail can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum MailSetupError {
    /// The file can't be read.
    #[error("{path}: {source}")]
    File {
        /// Path of the password's file.
        path: PathBuf,
        /// What the system says of it.
        source: std::io::Error,
    },
    /// Mails can't be written there.
    #[error("mails can't be written into {path}: {source}")]
    Directory {
        /// Folder that mails are written to.
        path: PathBuf,
        /// What the system says of it.
        source: std::io::Error,
    },
    /// The SMTP address isn't one. Its text is not repeated: it holds a password.
    #[error(
        "the SMTP URL file must hold one line smtp://[USER:PASSWORD@]HOST[:PORT] (STARTTLS) or smtps://… (TLS): {0}"
    )]
    Url(&'static str),
    /// The certificate isn't one, or TLS can't be set up.
    #[error("TLS to the mail server can't be set up: {0}")]
    Tls(lettre::transport::smtp::Error),
    /// The sender isn't an address.
    #[error("--mail-from is not an e-mail address")]
    From,
}

impl Mailer {
    /// A mailer from `from`, or from `parsec@` this server's host.
    pub(crate) fn new(
        transport: MailTransport,
        from: Option<&str>,
        public_url: &str,
    ) -> Result<Self, MailSetupError> {
        let host = url::Url::parse(public_url).ok();
        let host = host.as_ref().and_then(url::Url::domain).unwrap_or("localhost");
        let own = format!("Parsec invitations <parsec@{host}>");
        let from = from.unwrap_or(&own).parse().map_err(|_| MailSetupError::From)?;
        let public_url = public_url.trim_end_matches('/').to_owned();
        Ok(Self {
            transport,
            pauses: PAUSES.to_vec(),
            from,
            public_url,
            sending: Arc::new(Semaphore::new(SENDING_MAX)),
        })
    }

    /// Between two tries of one mail.
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        self.pauses.clone()
    }

    /// The link, if it is the one of this invitation, to this server and organisation, and nothing
    /// more.
    pub(crate) fn check_link(
        &self,
        organisation: &OrganisationId,
        asked: &NewInvitation,
        link: &str,
    ) -> Option<Link> {
        let payload = link.strip_prefix(&format!("{}/join/{organisation}#", self.public_url))?;
        let kind = match asked.invited {
            Invited::User(_) => 0,
            Invited::Device(_) => 1,
            // Whoever needs it has lost all devices, and is on the telephone.
            Invited::Share(..) => return None,
        };
        let fits = link.len() <= LINK_MAX_BYTES && leads_to(payload, kind, &asked.token);
        fits.then(|| Link(link.to_owned()))
    }

    /// Sends, with where the programs are at this moment, or says that it didn't work.
    pub(crate) async fn send(&self, outgoing: &OutgoingMail, offers: &Offers) -> Delivery {
        if matches!(self.transport, MailTransport::None) {
            return Delivery::Over(MailOutcome::NotConfigured);
        }
        let Some(message) = self.compose(outgoing, offers) else {
            tracing::warn!("a mail could not be composed: its address is none for mail");
            return Delivery::Over(MailOutcome::AddressRefused);
        };
        let Ok(_place) = self.sending.try_acquire() else {
            tracing::warn!("too many mails at once");
            return Delivery::Trouble;
        };
        match &self.transport {
            MailTransport::None => Delivery::Over(MailOutcome::NotConfigured),
            MailTransport::Directory(directory) => {
                let directory = directory.clone();
                let writing = tokio::task::spawn_blocking(move || write(&directory, &message.formatted()));
                match writing.await {
                    Ok(Ok(())) => Delivery::Over(MailOutcome::Written),
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "a mail could not be written");
                        Delivery::Trouble
                    }
                    Err(_) => Delivery::Trouble,
                }
            }
            MailTransport::Smtp(transport) => {
                match tokio::time::timeout(SEND_WAIT, transport.send(message)).await {
                    Ok(Ok(_)) => Delivery::Over(MailOutcome::Sent),
                    Ok(Err(error)) => {
                        // The kind alone: a mail server's answer may repeat what it was given.
                        let (permanent, timeout, tls) =
                            (error.is_permanent(), error.is_timeout(), error.is_tls());
                        let code = error.status().map(u16::from);
                        tracing::warn!(permanent, timeout, tls, code, "the mail server did not take a mail");
                        if permanent { Delivery::Over(outcome_of(code)) } else { Delivery::Trouble }
                    }
                    Err(_) => {
                        tracing::warn!("the mail server took too long");
                        Delivery::Trouble
                    }
                }
            }
        }
    }

    /// Two forms of the same words: a program shows the last one that it can.
    fn compose(&self, outgoing: &OutgoingMail, offers: &Offers) -> Option<Message> {
        let OutgoingMail { organisation, to, by, link } = outgoing;
        // A device's mail goes to its owner; nobody else is invited at the inviter's own address.
        let whom = if to == by { Whom::OwnDevice } else { Whom::Person };
        let wording = Wording { organisation, whom, by, link: &link.0, offers, base: &self.public_url };
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.as_str().parse().ok()?))
            .subject(wording.subject())
            .message_id(None)
            .multipart(MultiPart::alternative_plain_html(wording.text(), wording.html()))
            .ok()
    }
}

/// Whether a link's payload is of this version and kind, with this token and a link secret in it
/// (docs/protocol.md, *The link*). So a mail carries no other invitation's link, and no words of
/// the sender's but eight addresses in base64.
fn leads_to(payload: &str, kind: u8, token: &Token) -> bool {
    let Ok(bytes) = Base64UrlUnpadded::decode_vec(payload) else { return false };
    let mut reader = minicbor::Decoder::new(&bytes);
    let mut read = || {
        let five = reader.array()? == Some(5);
        let (version, of) = (reader.u8()?, reader.u8()?);
        let named = reader.bytes()? == token.as_bytes();
        let secret = reader.bytes()?.len() == LINK_SECRET_BYTES;
        reader.skip()?;
        Ok::<_, minicbor::decode::Error>(five && version == 1 && of == kind && named && secret)
    };
    let fits = read().unwrap_or(false);
    fits && reader.position() == bytes.len()
}

/// Whether mails can be written there: found out at the start, not with the first invitation.
fn try_writing(directory: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let name = directory.join(format!(".parsec-metadata-{}.tmp", std::process::id()));
    drop(options.write(true).create_new(true).mode(0o600).open(&name)?);
    std::fs::remove_file(&name)
}

/// What a mail server's refusal means, by RFC 5321: whether it was about the mailbox, which the
/// inviter can mend, or about anything else.
const fn outcome_of(code: Option<u16>) -> MailOutcome {
    match code {
        Some(550 | 551 | 553) => MailOutcome::AddressRefused,
        Some(_) | None => MailOutcome::Failed,
    }
}

/// Writes a mail under a random name, readable by this user alone, complete or not at all.
fn write(directory: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut name = [0; 16];
    getrandom::fill(&mut name).map_err(std::io::Error::other)?;
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let aside = directory.join(format!(".{name}.tmp"));
    let written = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).and_then(
        |mut file| {
            file.write_all(content)?;
            file.sync_all()?;
            std::fs::rename(&aside, directory.join(format!("{name}.eml")))?;
            sync_parent(&aside)
        },
    );
    if written.is_err() {
        // It may not exist; what counts is that no half mail with a link stays behind.
        let _ = std::fs::remove_file(&aside);
    }
    written
}

/// Sets up SMTP from the line in `url_file`: `smtp://` means STARTTLS or nothing, `smtps://` TLS
/// from the start.
fn smtp(url_file: &Path, ca: Option<&Path>) -> Result<MailTransport, MailSetupError> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| MailSetupError::File { path: path.to_owned(), source })
    };
    let text = read(url_file)?;
    let url = url::Url::parse(text.trim_start_matches('\u{feff}').trim())
        .map_err(|_| MailSetupError::Url("it is not a URL"))?;
    let host = url.host_str().ok_or(MailSetupError::Url("it has no host"))?;
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return Err(MailSetupError::Url("it has a path"));
    }
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(ca) = ca {
        let certificate = Certificate::from_pem(read(ca)?.as_bytes()).map_err(MailSetupError::Tls)?;
        parameters = parameters.add_root_certificate(certificate);
    }
    let parameters = parameters.build().map_err(MailSetupError::Tls)?;
    // A scheme that isn't the web's: its addresses are plain text to the parser.
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let loopback = address.map_or(host == "localhost", |address| address.is_loopback());
    let (tls, port) = match (url.scheme(), url.query()) {
        ("smtp", None) => (Tls::Required(parameters), 587),
        ("smtps", None) => (Tls::Wrapper(parameters), 465),
        ("smtp", Some("tls=none")) if loopback => (Tls::None, 25),
        ("smtp", Some("tls=none")) => {
            return Err(MailSetupError::Url("tls=none is for a mail server on this machine"));
        }
        ("smtp" | "smtps", Some(_)) => return Err(MailSetupError::Url("unknown option after ?")),
        _ => return Err(MailSetupError::Url("unknown scheme")),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(url.port().unwrap_or(port))
        .tls(tls)
        .timeout(Some(SEND_WAIT));
    if !url.username().is_empty() {
        let plain =
            |text: &str| percent_decode(text).ok_or(MailSetupError::Url("a bad % in user or password"));
        builder = builder.credentials(Credentials::new(
            plain(url.username())?,
            plain(url.password().unwrap_or_default())?,
        ));
    }
    Ok(MailTransport::Smtp(Box::new(builder.build())))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    use parsec_protocol::ids::Email;
    use proptest::prelude::*;

    fn mailer(transport: MailTransport) -> Mailer {
        Mailer::new(transport, None, "https://parsec.example.org:8443/").unwrap()
    }

    fn asked(token: u8) -> NewInvitation {
        let (token, invited) =
            (Token::from_bytes([token; 16]), Invited::User("bob@example.org".parse().unwrap()));
        NewInvitation { token, invited, expires: parsec_protocol::ids::Timestamp(0), mail_link: None }
    }

    /// A link's payload by the document: version, kind, token, secret, no hints.
    fn payload(kind: u8, token: u8, secret: usize) -> String {
        let length = u8::try_from(secret).unwrap();
        let parts = [&[0x85, 1, kind, 0x50][..], &[token; 16], &[0x58, length], &vec![9; secret], &[0x80]];
        Base64UrlUnpadded::encode_string(&parts.concat())
    }

    fn link(payload: &str) -> String {
        format!("https://parsec.example.org:8443/join/acme#{payload}")
    }

    fn outgoing(mailer: &Mailer) -> OutgoingMail {
        let organisation: OrganisationId = "acme".parse().unwrap();
        let link = mailer.check_link(&organisation, &asked(1), &link(&payload(0, 1, 32))).unwrap();
        OutgoingMail {
            organisation,
            to: "bob@example.org".parse().unwrap(),
            by: "alice@example.org".parse().unwrap(),
            link,
        }
    }

    #[test]
    fn only_the_link_of_this_invitation_to_this_server_and_organisation_is_mailed() {
        let (mailer, organisation) = (mailer(MailTransport::None), "acme".parse().unwrap());
        let good = payload(0, 1, 32);
        assert!(mailer.check_link(&organisation, &asked(1), &link(&good)).is_some());
        for bad in [
            format!("https://evil.example/join/acme#{good}"),
            format!("https://parsec.example.org:8443/join/other#{good}"),
            link(""),
            "https://parsec.example.org:8443/join/acme".to_owned(),
            link(&format!("{good}\r\nBcc: all@example.org")),
            link(&format!("{good} buy at https://evil.example")),
            format!("http://parsec.example.org:8443/join/acme#{good}"),
            format!("https://parsec.example.org:8443@evil.example/join/acme#{good}"),
            link(&payload(0, 2, 32)),
            link(&payload(1, 1, 32)),
            link(&payload(0, 1, 31)),
            link(&payload(0, 1, 32)[..40]),
            link(&format!("{good}AAAA")),
            link(&"A".repeat(2_048)),
        ] {
            assert!(mailer.check_link(&organisation, &asked(1), &bad).is_none(), "{bad}");
        }
    }

    /// Whatever is an address here has to be one for the library that mails, and as one recipient.
    #[test]
    fn every_address_that_is_taken_can_be_mailed() {
        proptest!(ProptestConfig::with_cases(10_000), |(
            local in "[!-~]{1,10}|[a-z!#$%&'*+/=?^_`{|}~.-]{1,64}|[a-z]{60,66}",
            domain in "[!-~]{1,10}|[a-z0-9-]{1,64}(\\.[a-z0-9-]{1,64}){0,3}|[a-z]{1,3}\\.[0-9]{1,3}",
        )| {
            if let Ok(email) = format!("{local}@{domain}").parse::<Email>() {
                let mailed: lettre::Address = email.as_str().parse().unwrap();
                prop_assert_eq!(mailed.to_string(), email.as_str());
            }
        });
    }

    /// The link that is mailed is the one that an inviter makes of this server's address, however
    /// the operator spelt it.
    #[test]
    fn links_of_every_spelling_of_the_public_address_are_mailed() {
        for (spelt, link) in [
            ("HTTPS://Parsec.Example.ORG:443/", "https://parsec.example.org"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("http://0x7f.1:06770", "http://127.0.0.1:6770"),
            ("https://[2001:DB8:0:0::1]:8443", "https://[2001:db8::1]:8443"),
        ] {
            let kept = crate::config::check_public_url(spelt).unwrap();
            let mailer = Mailer::new(MailTransport::None, None, &kept).unwrap();
            let link = format!("{link}/join/acme#{}", payload(0, 1, 32));
            assert!(mailer.check_link(&"acme".parse().unwrap(), &asked(1), &link).is_some(), "{spelt}");
        }
    }

    #[tokio::test]
    async fn a_mail_is_one_private_file_with_its_whole_link() {
        let directory = tempfile::tempdir().unwrap();
        let mailer = mailer(MailTransport::Directory(directory.path().to_owned()));
        assert_eq!(
            mailer.send(&outgoing(&mailer), &Offers::Unknown).await,
            Delivery::Over(MailOutcome::Written)
        );
        let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
        // Lines are broken for the way (quoted-printable) and put together by whoever shows the
        // mail.
        let mail = std::fs::read_to_string(files[0].path()).unwrap().replace("=\r\n", "");
        assert_eq!(mail.matches("Content-Type: multipart/alternative;").count(), 1, "{mail}");
        assert!(mail.contains(&format!("\r\n{}\r\n", link(&payload(0, 1, 32)))), "{mail}");
        let (text, html) = (mail.find("text/plain").unwrap(), mail.find("text/html").unwrap());
        assert!(text < html, "a program shows the last form that it can");
        assert!(mail.contains("\r\nTo: bob@example.org\r\n"), "{mail}");
        assert!(mail.contains("alice@example.org invites you"), "{mail}");
    }

    #[tokio::test]
    async fn a_mail_that_fails_leaves_nothing_and_may_be_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let mailer = mailer(MailTransport::Directory(directory.path().join("missing")));
        assert_eq!(mailer.send(&outgoing(&mailer), &Offers::Unknown).await, Delivery::Trouble);
    }

    #[test]
    fn an_address_that_is_refused_is_told_from_a_mail_that_failed() {
        for code in [550, 551, 553] {
            assert_eq!(outcome_of(Some(code)), MailOutcome::AddressRefused, "{code}");
        }
        for code in [None, Some(421), Some(450), Some(454), Some(535), Some(552), Some(554)] {
            assert_eq!(outcome_of(code), MailOutcome::Failed, "{code:?}");
        }
    }

    #[test]
    fn the_smtp_file_is_strict_and_its_errors_silent() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("smtp");
        let transport = |text: &str| {
            std::fs::write(&path, text).unwrap();
            smtp(&path, None)
        };
        for good in [
            "smtp://mail.example.org",
            "smtps://u:p%40ss@mail.example.org:466\n",
            "smtp://127.0.0.1:1025?tls=none",
        ] {
            assert!(transport(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "mail.example.org",
            "http://secret@mail.example.org",
            "smtp://u:secret@mail.example.org?tls=none",
            "smtp://u:secret@mail.example.org?x",
            "smtp://u:secret@mail.example.org/x",
            "smtp://u:secret%zz@mail.example.org",
        ] {
            let error = transport(bad).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("secret"), "{bad}");
        }
    }
}

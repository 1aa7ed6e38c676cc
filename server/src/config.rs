//! What the server is told when it starts: from the command line, and from a TOML file for what
//! isn't given there.
//!
//! Decides defaults. Refuses unknown settings, combinations that contradict each other, and plain
//! HTTP where strangers could listen.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use parsec_host::log::LogFormat;
use parsec_protocol::address::{AddressError, ServerAddress};
use serde::Deserialize;

use crate::budgets::{Budgets, Share};
use crate::clock::Clock;
use crate::mail_queue::PAUSES;
use crate::quota::{Rate, Rates};
use crate::safes::SafeQuota;

/// All settings of `parsec-metadata serve`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Path of the SQLite database.
    pub database: PathBuf,
    /// Whether it is made if there is none. Otherwise a slip in its name is an error.
    pub create: bool,
    /// Where to listen; port 0: any free one.
    pub listen: SocketAddr,
    /// How the world reaches this server: `https://host[:port]`. From the address it listens on
    /// where not given.
    pub public_url: Option<String>,
    /// Certificate chain and key, PEM. Without: plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// A proxy in front does TLS and says in `x-forwarded-for` who asks.
    pub behind_proxy: bool,
    /// Plain HTTP on other than loopback addresses, for tests in closed networks.
    pub insecure_plain_http: bool,
    /// How invitations are mailed, if at all.
    pub mail: Mail,
    /// Between two tries of a mail that the mail server did not take.
    pub mail_pauses: Vec<Duration>,
    /// Address that mails come from.
    pub mail_from: Option<String>,
    /// `None`: no rate limits.
    pub rates: Option<Rates>,
    /// What of the stored things may be one party's.
    pub budgets: Budgets,
    /// What the safes of an organisation may hold; one without an entry has what the disk has.
    pub safe_quotas: Vec<SafeQuota>,
    /// What each safe of some organisations may hold.
    pub safe_quotas_each: Vec<SafeQuota>,
    /// What each member of some organisations may have brought into their safes.
    pub safe_quotas_member: Vec<SafeQuota>,
    /// After a restore: members put back what the logs lost, and nothing new enters one.
    pub repairs_only: bool,
    /// Connections open at once.
    pub connections: usize,
    /// A file to write the bound address to, once listening.
    pub ready_file: Option<PathBuf>,
    /// A descriptor of this process to write the bound address to, once listening.
    pub ready_fd: Option<u32>,
    /// What time it is.
    pub clock: Clock,
}

/// Connections at once, unless told otherwise: some hundred ceremonies with two streams each and
/// room for as many idle ones. Fewer than the 4,096 descriptors a service may usually have.
pub(crate) const CONNECTIONS_DEFAULT: usize = 2_048;

impl Config {
    /// A server for tests and for one machine: no mail, no rate limits, default budgets.
    #[must_use]
    pub fn local(database: PathBuf) -> Self {
        Self {
            database,
            create: true,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: None,
            tls: None,
            behind_proxy: false,
            insecure_plain_http: false,
            mail: Mail::None,
            mail_pauses: PAUSES.to_vec(),
            mail_from: None,
            rates: None,
            budgets: Budgets::default(),
            safe_quotas: Vec::new(),
            safe_quotas_each: Vec::new(),
            safe_quotas_member: Vec::new(),
            repairs_only: false,
            connections: CONNECTIONS_DEFAULT,
            ready_file: None,
            ready_fd: None,
            clock: Clock::System,
        }
    }
}

/// How invitations are mailed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mail {
    /// Mails are not sent at all.
    None,
    /// One file for each mail.
    Directory(PathBuf),
    /// Mails go to a mail server, by SMTP.
    Smtp {
        /// A file with one line: `smtp://USER:PASSWORD@HOST:PORT`.
        url_file: PathBuf,
        /// A certificate to trust besides the system's, PEM.
        ca: Option<PathBuf>,
    },
}

/// Options of `serve`. Everything may also stand in the file, under the same name.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ServeOptions {
    /// TOML file with any of these options; the command line goes before it
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// SQLite database
    #[arg(long, value_name = "PATH")]
    database: Option<PathBuf>,
    /// Make the database if there is none
    #[arg(long)]
    #[serde(skip)]
    create: bool,
    /// Address to listen on; port 0 takes any free one [default: 127.0.0.1:6770]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// How the world reaches this server, as in `https://parsec.example.org`
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// TLS certificate chain, PEM
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// TLS private key, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// A proxy in front does TLS and sets x-forwarded-for
    #[arg(long)]
    behind_proxy: bool,
    /// Allow plain HTTP on other than loopback addresses
    #[arg(long)]
    insecure_plain_http: bool,
    /// Write mails into this directory instead of sending them
    #[arg(long, value_name = "DIR")]
    mail_directory: Option<PathBuf>,
    /// File with the mail server's smtp://USER:PASSWORD@HOST:PORT (STARTTLS) or smtps://… (TLS)
    #[arg(long, value_name = "FILE")]
    smtp_url_file: Option<PathBuf>,
    /// Certificate to trust for the mail server besides the system's, PEM
    #[arg(long, value_name = "FILE")]
    smtp_ca: Option<PathBuf>,
    /// Sender of mails
    #[arg(long, value_name = "ADDRESS")]
    mail_from: Option<String>,
    /// Where and how to log [default: journal if stderr leads there, else text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Write the bound address to this file once listening
    #[arg(long, value_name = "PATH")]
    #[serde(skip)]
    ready_file: Option<PathBuf>,
    /// Write the bound address to this descriptor once listening
    #[arg(long, value_name = "N")]
    #[serde(skip)]
    ready_fd: Option<u32>,
    /// No rate limits: for tests and private networks
    #[arg(long)]
    no_rate_limits: bool,
    /// Requests of one address, as PER_SECOND:BURST [default: 50:500]
    #[arg(long, value_name = "RATE")]
    rate_limit_address: Option<Rate>,
    /// Requests with one token [default: 20:200]
    #[arg(long, value_name = "RATE")]
    rate_limit_token: Option<Rate>,
    /// Requests of one device [default: 200:2000]
    #[arg(long, value_name = "RATE")]
    rate_limit_device: Option<Rate>,
    /// Requests of all devices of one member [default: 400:4000]
    #[arg(long, value_name = "RATE")]
    rate_limit_member: Option<Rate>,
    /// Signed requests in one organisation [default: 1000:10000]
    #[arg(long, value_name = "RATE")]
    rate_limit_organisation: Option<Rate>,
    /// Mails of one organisation [default: 1:200]
    #[arg(long, value_name = "RATE")]
    rate_limit_mail: Option<Rate>,
    /// Invitations of one administrator that can be used, and the MiB they may take [default:
    /// 500:32]
    #[arg(long, value_name = "INVITATIONS:MIB")]
    budget_administrator: Option<Share>,
    /// The same of any other member, who invites own devices alone [default: 16:2]
    #[arg(long, value_name = "INVITATIONS:MIB")]
    budget_member: Option<Share>,
    /// The same of all administrators of an organisation together, and once more of everybody else
    /// in it [default: 1000:64]
    #[arg(long, value_name = "INVITATIONS:MIB")]
    budget_organisation: Option<Share>,
    /// What the safes of an organisation may hold, in MiB; may be given for several [default: what
    /// the disk has, less 5 % or 4 GiB]
    #[arg(long, value_name = "ORGANISATION:MIB")]
    safe_quota: Vec<SafeQuota>,
    /// What each safe of an organisation may hold, in MiB [default: no limit]
    #[arg(long, value_name = "ORGANISATION:MIB")]
    safe_quota_each: Vec<SafeQuota>,
    /// What each member of an organisation may have brought into its safes, in MiB [default: no
    /// limit]
    #[arg(long, value_name = "ORGANISATION:MIB")]
    safe_quota_member: Vec<SafeQuota>,
    /// After a restore: take nothing new into the logs until members have put back what it lost
    #[arg(long)]
    repairs_only: bool,
    /// Connections open at once [default: 2048]
    #[arg(long, value_name = "N")]
    connections: Option<usize>,
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{path}: {source}")]
    File {
        /// Path of the configuration file.
        path: PathBuf,
        /// What the system says of it.
        source: std::io::Error,
    },
    /// The file isn't TOML, or has a setting that doesn't exist.
    #[error("{path}: {source}")]
    Toml {
        /// Path of the configuration file.
        path: PathBuf,
        /// What is wrong in it, and where.
        source: Box<toml::de::Error>,
    },
    /// No database is named: `--database` is missing.
    #[error("--database is missing")]
    NoDatabase,
    /// Half of a TLS key pair.
    #[error("--tls-certificate and --tls-key go together")]
    HalfTls,
    /// Two ways to send mail.
    #[error("--mail-directory and --smtp-url-file exclude each other")]
    TwoMails,
    /// Plain HTTP on an address that others can reach.
    #[error(
        "plain HTTP on {0} would let others listen: give --tls-certificate and --tls-key, or --behind-proxy, or (for tests) \
         --insecure-plain-http"
    )]
    PlainHttp(SocketAddr),
    /// Nobody could come by a link with the address that is listened on.
    #[error(
        "--public-url is missing: how the world reaches this server can't be told from {0} (behind a proxy, on all of the machine's addresses, \
         or plain HTTP for others than this machine)"
    )]
    NoPublicUrl(SocketAddr),
    /// The public URL can't stand in a link.
    #[error("--public-url must be https://HOST[:PORT] (http:// for this machine alone), without a path: {0}")]
    PublicUrl(AddressError),
}

/// What the command line gives, where it gives any of it, or what the file has.
fn given<T>(here: Vec<T>, file: Vec<T>) -> Vec<T> {
    if here.is_empty() { file } else { here }
}

impl ServeOptions {
    /// Puts the file's settings under those of the command line.
    ///
    /// # Errors
    /// [`ConfigError`] where the file can't be read.
    pub fn with_file(self) -> Result<Self, ConfigError> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::File { path: path.clone(), source })?;
        let file: Self =
            toml::from_str(&text).map_err(|source| ConfigError::Toml { path, source: Box::new(source) })?;
        Ok(Self {
            config: self.config,
            database: self.database.or(file.database),
            create: self.create,
            listen: self.listen.or(file.listen),
            public_url: self.public_url.or(file.public_url),
            tls_certificate: self.tls_certificate.or(file.tls_certificate),
            tls_key: self.tls_key.or(file.tls_key),
            behind_proxy: self.behind_proxy || file.behind_proxy,
            insecure_plain_http: self.insecure_plain_http || file.insecure_plain_http,
            mail_directory: self.mail_directory.or(file.mail_directory),
            smtp_url_file: self.smtp_url_file.or(file.smtp_url_file),
            smtp_ca: self.smtp_ca.or(file.smtp_ca),
            mail_from: self.mail_from.or(file.mail_from),
            log_format: self.log_format.or(file.log_format),
            ready_file: self.ready_file,
            ready_fd: self.ready_fd,
            no_rate_limits: self.no_rate_limits || file.no_rate_limits,
            rate_limit_address: self.rate_limit_address.or(file.rate_limit_address),
            rate_limit_token: self.rate_limit_token.or(file.rate_limit_token),
            rate_limit_device: self.rate_limit_device.or(file.rate_limit_device),
            rate_limit_member: self.rate_limit_member.or(file.rate_limit_member),
            rate_limit_organisation: self.rate_limit_organisation.or(file.rate_limit_organisation),
            rate_limit_mail: self.rate_limit_mail.or(file.rate_limit_mail),
            budget_administrator: self.budget_administrator.or(file.budget_administrator),
            budget_member: self.budget_member.or(file.budget_member),
            budget_organisation: self.budget_organisation.or(file.budget_organisation),
            safe_quota: given(self.safe_quota, file.safe_quota),
            safe_quota_each: given(self.safe_quota_each, file.safe_quota_each),
            safe_quota_member: given(self.safe_quota_member, file.safe_quota_member),
            repairs_only: self.repairs_only || file.repairs_only,
            connections: self.connections.or(file.connections),
        })
    }

    /// Checks that the settings fit together.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn check(self) -> Result<Config, ConfigError> {
        let listen = self.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 6770)));
        let tls = match (self.tls_certificate, self.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(ConfigError::HalfTls),
        };
        let private = listen.ip().to_canonical().is_loopback();
        if tls.is_none() && !private && !self.behind_proxy && !self.insecure_plain_http {
            return Err(ConfigError::PlainHttp(listen));
        }
        let public_url = self.public_url.map(|text| check_public_url(&text)).transpose()?;
        if public_url.is_none() && (self.behind_proxy || !can_stand_in_links(listen, tls.is_some())) {
            return Err(ConfigError::NoPublicUrl(listen));
        }
        let mail = match (self.mail_directory, self.smtp_url_file) {
            (None, None) => Mail::None,
            (Some(directory), None) => Mail::Directory(directory),
            (None, Some(url_file)) => Mail::Smtp { url_file, ca: self.smtp_ca },
            (Some(_), Some(_)) => return Err(ConfigError::TwoMails),
        };
        let default = Rates::default();
        let rates = Rates {
            address: self.rate_limit_address.unwrap_or(default.address),
            token: self.rate_limit_token.unwrap_or(default.token),
            device: self.rate_limit_device.unwrap_or(default.device),
            member: self.rate_limit_member.unwrap_or(default.member),
            organisation: self.rate_limit_organisation.unwrap_or(default.organisation),
            mail: self.rate_limit_mail.unwrap_or(default.mail),
        };
        let usual = Budgets::default();
        Ok(Config {
            database: self.database.ok_or(ConfigError::NoDatabase)?,
            create: self.create,
            listen,
            public_url,
            tls,
            behind_proxy: self.behind_proxy,
            insecure_plain_http: self.insecure_plain_http,
            mail,
            mail_pauses: PAUSES.to_vec(),
            mail_from: self.mail_from,
            rates: (!self.no_rate_limits).then_some(rates),
            budgets: Budgets {
                administrator: self.budget_administrator.unwrap_or(usual.administrator),
                member: self.budget_member.unwrap_or(usual.member),
                organisation: self.budget_organisation.unwrap_or(usual.organisation),
            },
            safe_quotas: self.safe_quota,
            safe_quotas_each: self.safe_quota_each,
            safe_quotas_member: self.safe_quota_member,
            repairs_only: self.repairs_only,
            connections: self.connections.unwrap_or(CONNECTIONS_DEFAULT),
            ready_file: self.ready_file,
            ready_fd: self.ready_fd,
            clock: Clock::System,
        })
    }
}

/// The one spelling of an address that links can hold.
pub(crate) fn check_public_url(text: &str) -> Result<String, ConfigError> {
    let address: ServerAddress = text.parse().map_err(ConfigError::PublicUrl)?;
    Ok(address.as_str().to_owned())
}

/// Whether the address that is listened on is one by which others come, as it stands.
fn can_stand_in_links(listen: SocketAddr, tls: bool) -> bool {
    let scheme = if tls { "https" } else { "http" };
    // Any free port: it isn't known yet, and none makes a difference.
    let port = if listen.port() == 0 { 1 } else { listen.port() };
    let own = format!("{scheme}://{}", SocketAddr::new(listen.ip(), port));
    !listen.ip().is_unspecified() && own.parse::<ServerAddress>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(toml: &str) -> ServeOptions {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn plain_http_needs_loopback_or_a_word() {
        let base = "database = 'x'\nlisten = '0.0.0.0:80'\n";
        assert!(matches!(options(base).check(), Err(ConfigError::PlainHttp(_))));
        for word in
            ["behind-proxy = true", "insecure-plain-http = true", "tls-certificate = 'c'\ntls-key = 'k'"]
        {
            let words = format!("{base}{word}\npublic-url = 'https://a.example'");
            assert!(options(&words).check().is_ok(), "{word}");
        }
        assert!(options("database = 'x'\nlisten = '[::1]:0'").check().is_ok());
        assert!(matches!(options("database = 'x'\ntls-key = 'k'").check(), Err(ConfigError::HalfTls)));
    }

    #[test]
    fn the_command_line_goes_before_the_file_and_unknown_settings_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.toml");
        std::fs::write(&path, "database = 'file'\nconnections = 7\nrate-limit-mail = '1:2'").unwrap();
        let line =
            ServeOptions { config: Some(path.clone()), database: Some("line".into()), ..Default::default() };
        let config = line.with_file().unwrap().check().unwrap();
        assert_eq!((config.database, config.connections), (PathBuf::from("line"), 7));
        assert_eq!(config.rates.unwrap().mail.burst, 2);

        assert!(toml::from_str::<ServeOptions>("rate-limit-mail = '0:2'").is_err());
        std::fs::write(&path, "databse = 'file'").unwrap();
        let line = ServeOptions { config: Some(path), ..Default::default() };
        assert!(matches!(line.with_file(), Err(ConfigError::Toml { .. })));
    }

    /// However an editor ends lines, and whatever it puts before the first.
    #[test]
    fn a_file_is_read_as_editors_write_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.toml");
        std::fs::write(&path, "\u{feff}database = 'file'\r\nconnections = 7\r\n").unwrap();
        let line = ServeOptions { config: Some(path), ..Default::default() };
        let config = line.with_file().unwrap().check().unwrap();
        assert_eq!((config.database, config.connections), (PathBuf::from("file"), 7));
    }

    #[test]
    fn a_server_that_nobody_could_find_by_a_link_does_not_start() {
        let tls = "tls-certificate = 'c'\ntls-key = 'k'";
        for missing in [
            "behind-proxy = true".to_owned(),
            format!("listen = '0.0.0.0:443'\n{tls}"),
            format!("listen = '[::]:443'\n{tls}"),
            "listen = '192.0.2.1:80'\ninsecure-plain-http = true".to_owned(),
        ] {
            let words = format!("database = 'x'\n{missing}");
            assert!(matches!(options(&words).check(), Err(ConfigError::NoPublicUrl(_))), "{missing}");
            let words = format!("{words}\npublic-url = 'https://a.example'");
            assert!(options(&words).check().is_ok(), "{missing}");
        }
        let own = format!("database = 'x'\nlisten = '192.0.2.1:0'\n{tls}");
        assert!(options(&own).check().is_ok(), "its own address is one");
    }

    #[test]
    fn a_public_url_is_a_bare_origin() {
        for good in
            ["https://a.example", "https://a.example:8443/", "http://127.0.0.1:8080", "http://[::1]:1"]
        {
            assert!(check_public_url(good).is_ok(), "{good}");
        }
        for bad in [
            "a.example",
            "http://a.example",
            "https://a.example/x",
            "https://u@a.example",
            "ftp://a",
            "https://a?b",
        ] {
            assert!(check_public_url(bad).is_err(), "{bad}");
        }
    }
}

//! The metadata server: relays ceremonies and keeps the certificate log, and can read neither
//! (docs/protocol.md, *Metadata server*).
//!
//! Decides how the parts are put together and in which order they stop: no new connections, streams
//! end, requests finish, mail finishes, the database closes.

// Unit tests that use the support of server/tests name this crate as those do.
#[cfg(test)]
extern crate self as parsec_metadata;

mod administration;
mod budgets;
mod clock;
pub mod command_line;
pub mod commands;
mod config;
#[cfg(test)]
mod costs;
mod errors;
mod folders;
mod housekeeping;
mod http;
mod intake;
mod invitations;
mod landing;
mod mail;
mod mail_queue;
mod objects;
mod quota;
mod reinstate;
mod reload;
mod repair;
mod safes;
mod store;
mod watchers;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use parsec_host::ready_file::Announcement;
use parsec_host::service_manager::ServiceManager;
use parsec_host::watchdog::keep_alive;
use parsec_protocol::address::ServerAddress;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use administration::{
    AdministrationError, Listed, Pruned, UsageLine, create_organisation, list_organisations,
    organisation_usage, prune_organisation, renew_token,
};
pub use budgets::{Budgets, Share};
pub use clock::Clock;
pub use config::{Config, ConfigError, Mail, ServeOptions};
pub use mail::MailSetupError;
pub use quota::{Rate, RateError, Rates};
pub use reinstate::{ReinstateError, Reinstated, repair_organisation};
pub use reload::Reloader;
pub use safes::{SafeQuota, SafeQuotaError};
pub use store::{BackupError, LockError, OpenError, RestoreError, StoreError};

/// Bits of the ready file: where the server listens is no secret, and may be waited for by another
/// user's script.
const READY_FILE_MODE: u32 = 0o644;
/// How long requests may go on after the server was told to stop.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// How long a new connection may take to send its first request's head.
const FIRST_HEAD_WAIT: Duration = Duration::from_secs(30);
/// How long a connection may stay without a further request's head: longer than the 90 seconds for
/// which clients keep idle ones, so that it isn't closed under a request that is just being sent.
const HEAD_WAIT: Duration = Duration::from_secs(100);
/// How long a TLS handshake may take.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// Why the server didn't start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The address is taken or not ours, or the sockets failed.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// Address that was to be listened on.
        address: SocketAddr,
        /// What the system says of it.
        source: std::io::Error,
    },
    /// The database can't be used.
    #[error("{path}: {source}")]
    Open {
        /// Path of the database's file.
        path: PathBuf,
        /// Why it could not be opened.
        source: OpenError,
    },
    /// The folder of objects can't be used.
    #[error("{path}: {source}")]
    Objects {
        /// Path of the folder.
        path: PathBuf,
        /// Why it could not be opened.
        source: StoreError,
    },
    /// Another server has the database.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Mail can't be set up.
    #[error(transparent)]
    Mail(#[from] MailSetupError),
    /// Certificate or key can't be used.
    #[error("the TLS certificate or key can't be used: {0}")]
    Tls(std::io::Error),
    /// Nobody could be told that the server is ready.
    #[error("the address can't be written where it was asked for: {0}")]
    Ready(std::io::Error),
    /// The listener failed while connections were served.
    #[error("the server failed: {0}")]
    Serve(std::io::Error),
}

/// A server that listens but doesn't answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    started: Config,
    public_url: String,
    tls: Option<RustlsConfig>,
    app: Arc<http::App>,
    threads: store::Threads,
    /// Until the database is closed.
    lock: store::DatabaseLock,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the database, listens, and tells whoever waits for it.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn bind(config: Config) -> Result<Self, RunError> {
        let tls = match &config.tls {
            Some((certificate, key)) => Some(tls_config(certificate, key).await.map_err(RunError::Tls)?),
            None => None,
        };
        let failed = |source| RunError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let public_url = config.public_url.clone().unwrap_or_else(|| {
            let own = format!("{scheme}://{address}");
            // Plain http to others than this machine is for a proxy: no link leads there.
            own.parse::<ServerAddress>().map_or(own.clone(), |own| own.as_str().to_owned())
        });
        let mailer =
            mail::set_up(&config.mail, &config.mail_pauses, config.mail_from.as_deref(), &public_url)?;
        let watchers = Arc::new(watchers::Watchers::default());
        let open = |source| RunError::Open { path: config.database.clone(), source };
        if !store::present(&config.database, store::Making::of(config.create)).map_err(open)? {
            tracing::warn!(database = %config.database.display(), "there is no database yet: a new one is made");
        }
        let lock = store::DatabaseLock::take(&config.database)?;
        store::check_log(&config.database).map_err(open)?;
        let (store, threads) = store::Store::open(&config.database, Arc::clone(&watchers)).map_err(open)?;
        let budgets = config.budgets;
        let noted = store.write(move |tx| Ok(tx.note_budgets(&budgets)?)).await;
        if noted.is_err() {
            // The server works all the same; a full disk must not keep it from answering.
            tracing::warn!("the budgets could not be noted for `organisation usage`");
        }
        if config.repairs_only {
            // Items whose authors had not seen what the logs get from now on may come back.
            let now = config.clock.now();
            if store.write(move |tx| Ok(tx.note_restored_all(now)?)).await.is_err() {
                tracing::warn!("that the database was restored could not be noted");
            }
        }
        let folder = objects::beside(&config.database);
        let objects = objects::Folder::open(folder.clone())
            .map_err(|source| RunError::Objects { path: folder, source })?;
        warn_of_room(&objects);
        let app = Arc::new(http::App {
            store,
            safe_quotas: safes::Quotas::new(
                &config.safe_quotas,
                &config.safe_quotas_each,
                &config.safe_quotas_member,
            ),
            turns_over: http::TurnsOver::default(),
            past_logs: safes::PastLogs::default(),
            objects: http::Objects { store: objects, publishing: tokio::sync::RwLock::new(()) },
            is_short_of_room: AtomicBool::new(false),
            watchers,
            quota: quota::Quota::new(config.rates),
            budgets: config.budgets,
            nonces: http::Nonces::default(),
            presence: http::Presence::new(config.clock.now()),
            clock: config.clock.clone(),
            mailer: reload::Current::new(mailer),
            mail_queue: mail_queue::MailQueue::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            behind_proxy: config.behind_proxy,
            repairs_only: config.repairs_only,
            connection_limits: http::ConnectionLimits::new(config.connections, !config.behind_proxy),
        });
        tracing::info!(%address, public_url, "listening");
        announce(&config, address).map_err(RunError::Ready)?;
        Ok(Self { listener, address, started: config, public_url, tls, app, threads, lock })
    }

    /// What changes it while it runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        Reloader {
            started: self.started.clone(),
            public_url: self.public_url.clone(),
            tls: self.tls.clone(),
            app: Arc::downgrade(&self.app),
        }
    }

    /// The address and port that are listened on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is done, then stops in order.
    ///
    /// # Errors
    /// [`RunError::Serve`].
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let Self { listener, address, tls, app, threads, lock, .. } = self;
        let limits = Arc::clone(&app.connection_limits);
        let service = Router::new()
            .fallback(http::handle)
            .with_state(Arc::clone(&app))
            .into_make_service_with_connect_info::<SocketAddr>();
        let handle = Handle::new();
        let mut server = axum_server::from_tcp(listener)
            .map_err(RunError::Serve)?
            .http1_only()
            .handle(handle.clone())
            .first_request_timeout(FIRST_HEAD_WAIT)
            .acceptor(NoDelayAcceptor::new());
        server.http_builder().http1().header_read_timeout(HEAD_WAIT);

        let manager = ServiceManager::from_environment();
        manager.ready(Some(&format!("listening on {address}")));
        app.tasks.spawn(housekeeping::run(Arc::clone(&app)));
        let stopping = app.stopping.clone();
        let stop = async {
            shutdown.await;
            tracing::info!("stopping");
            manager.stopping();
            stopping.cancel();
            handle.graceful_shutdown(Some(STOP_WAIT));
            std::future::pending().await
        };
        let serve = async {
            match tls {
                Some(tls) => {
                    let inner = RustlsAcceptor::new(tls)
                        .handshake_timeout(HANDSHAKE_WAIT)
                        .acceptor(NoDelayAcceptor::new());
                    server.acceptor(http::Limited::new(inner, Arc::clone(&limits))).serve(service).await
                }
                None => {
                    let inner = NoDelayAcceptor::new();
                    server.acceptor(http::Limited::new(inner, Arc::clone(&limits))).serve(service).await
                }
            }
        };
        let served = tokio::select! {
            served = serve => served.map_err(RunError::Serve),
            () = stop => Ok(()),
            never = keep_alive(manager.watchdog()) => match never {},
        };
        // Requests have been answered or given up; what they left behind is finished, then the
        // database closes.
        app.stopping.cancel();
        app.tasks.close();
        app.tasks.wait().await;
        drop(app);
        if tokio::task::spawn_blocking(move || threads.join()).await.is_err() {
            tracing::error!("waiting for the database failed");
        }
        drop(lock);
        tracing::info!("stopped");
        served
    }
}

/// Says at the start what every upload would be told, so that the administrator hears it first.
fn warn_of_room(objects: &impl objects::ObjectStore) {
    match objects.room() {
        Ok(room) if !safes::is_room(room, 0) => safes::warn_of_room(room),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "how full the disk is could not be found out"),
    }
}

async fn tls_config(certificate: &Path, key: &Path) -> std::io::Result<RustlsConfig> {
    // Fails only if a provider was chosen before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = RustlsConfig::from_pem_file(certificate, key).await?;
    // As read, it would offer HTTP/2 too, which this server doesn't speak.
    let mut config = rustls::ServerConfig::clone(&read.get_inner());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(config)))
}

/// Writes the address to where it was asked for.
fn announce(config: &Config, address: SocketAddr) -> std::io::Result<()> {
    let announcement = Announcement {
        file: config.ready_file.as_deref(),
        mode: READY_FILE_MODE,
        descriptor: config.ready_fd,
    };
    announcement.make(&address.to_string())
}

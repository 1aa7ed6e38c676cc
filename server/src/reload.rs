//! What changes without a restart, at SIGHUP: the certificate and its key, mail, rates.
//!
//! Decides that a change is taken whole or not at all. Refuses a certificate, a key or a setting
//! that can't be used: what was in use stays in use. What needs a restart is named.

use std::sync::{Arc, PoisonError, RwLock, Weak};

use axum_server::tls_rustls::RustlsConfig;

use crate::config::Config;
use crate::{RunError, http, mail, tls_config};

/// A value that may be replaced while others use it.
#[derive(Debug)]
pub(crate) struct Current<T>(RwLock<Arc<T>>);

impl<T> Current<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    /// As it is now; stays so for whoever holds it.
    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

/// Changes what a running server uses. Keeps nothing of it alive.
pub struct Reloader {
    pub(crate) started: Config,
    pub(crate) public_url: String,
    pub(crate) tls: Option<RustlsConfig>,
    pub(crate) app: Weak<http::App>,
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}

impl Reloader {
    /// Takes what can be taken of these settings. Returns the names of those that need a restart.
    ///
    /// # Errors
    /// [`RunError`]: nothing was changed.
    pub async fn reload(&self, config: Config) -> Result<Vec<&'static str>, RunError> {
        let tls = match (&self.tls, &config.tls) {
            (Some(_), Some((certificate, key))) => {
                Some(tls_config(certificate, key).await.map_err(RunError::Tls)?)
            }
            _ => None,
        };
        let (settings, url) = (config.clone(), self.public_url.clone());
        let mailer = tokio::task::spawn_blocking(move || {
            mail::set_up(&settings.mail, &settings.mail_pauses, settings.mail_from.as_deref(), &url)
        });
        let mailer = mailer.await.map_err(|error| RunError::Serve(error.into()))??;

        // Nothing fails from here on.
        if let (Some(present), Some(new)) = (&self.tls, tls) {
            present.reload_from_config(new.get_inner());
        }
        if let Some(app) = self.app.upgrade() {
            app.mailer.set(mailer);
            app.quota.set_rates(config.rates);
        }
        Ok(self.needs_restart(&config))
    }

    fn needs_restart(&self, config: &Config) -> Vec<&'static str> {
        let started = &self.started;
        [
            ("database", started.database != config.database),
            ("listen", started.listen != config.listen),
            ("public-url", started.public_url != config.public_url),
            ("tls-certificate and tls-key, on or off", started.tls.is_some() != config.tls.is_some()),
            ("behind-proxy", started.behind_proxy != config.behind_proxy),
            ("insecure-plain-http", started.insecure_plain_http != config.insecure_plain_http),
            ("budgets", started.budgets != config.budgets),
            ("safe-quota", started.safe_quotas != config.safe_quotas),
            ("safe-quota-each", started.safe_quotas_each != config.safe_quotas_each),
            ("safe-quota-member", started.safe_quotas_member != config.safe_quotas_member),
            ("connections", started.connections != config.connections),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
}

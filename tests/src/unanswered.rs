//! A founding whose answer got lost: the organisation may exist, and its only keys are pending on
//! one device.
//!
//! Decides nothing: what becomes of it, a test says. From here on the proxy passes on as it is
//! told.

use std::sync::Arc;

use parsec_protocol::control::{OrgBootstrapped, ProblemKind, Registration};
use tempfile::TempDir;

use crate::device::{Device, Founding, private_folder};
use crate::fixture::{ALICE_EMAIL, ALICE_PASSWORD};
use crate::process::Daemon;
use crate::proxy::{NoAnswer, Proxy};
use crate::rpc::Failed;
use crate::server::Server;

/// A device with a pending founding, under [`ALICE_PASSWORD`].
#[derive(Debug)]
pub struct Unanswered {
    // Dropped in this order: clients before servers, the folder last.
    /// The founder's device.
    pub owner: Device,
    /// Between it and the server; loses answers until it is told otherwise.
    pub proxy: Proxy,
    /// The bootstrap token, used up unless the request was lost, too.
    pub token: String,
    _server: Server,
    _folder: TempDir,
}

impl Unanswered {
    /// Founds, and nobody hears of it.
    ///
    /// # Panics
    /// If the founder does hear of it, or no keys are left.
    #[must_use]
    pub fn found(daemon: Daemon) -> Self {
        let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
        private_folder(&folder.path().join("server"));
        let server = Server::start(&folder.path().join("server"), &[]);
        let proxy = Proxy::start(server.address());
        proxy.meddle(Arc::new(NoAnswer));
        let owner = Device::start_one(daemon, "owner", &folder.path().join("t"), &[]);
        let token = server.reserve("acme");
        let this = Self { owner, proxy, token, _server: server, _folder: folder };
        let unheard = this.again(&this.token, ALICE_PASSWORD).unwrap_err();
        assert_eq!(unheard.name(), Some(ProblemKind::ServerUnreachable));
        assert_eq!(this.owner.devices()[0].registration, Registration::Pending);
        this
    }

    /// The same command again, with a token and a password.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn again(&self, token: &str, password: &str) -> Result<OrgBootstrapped, Failed> {
        self.owner.found(&Founding {
            server: &self.proxy.url(),
            organisation: "acme",
            token,
            email: ALICE_EMAIL,
            name: "Alice",
            label: "desk",
            password,
            typed_codes: false,
        })
    }
}

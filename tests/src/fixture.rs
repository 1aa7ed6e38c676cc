//! An organisation ready for a test: a server behind a proxy, and Alice, its first administrator,
//! at her unlocked device.

use std::path::PathBuf;
use std::sync::Arc;

use parsec_protocol::control::{ChoiceMode, InviteResult, ProfileName, Stage};
use tempfile::TempDir;

use crate::ceremony::{Bell, Side};
use crate::device::{Device, Founding, private_folder};
use crate::process::Daemon;
use crate::proxy::Proxy;
use crate::script::{self, Ends, Newcomer, Phone};
use crate::server::Server;

/// Alice's password.
pub const ALICE_PASSWORD: &str = "alice walks seven dogs";
/// Bob's password.
pub const BOB_PASSWORD: &str = "bob counts grey herons";
/// Alice's address.
pub const ALICE_EMAIL: &str = "alice@acme.example";
/// Bob's address.
pub const BOB_EMAIL: &str = "bob@acme.example";

/// Bob, as he fills in who he is.
pub const BOB: Newcomer<'static> =
    Newcomer { name: Some("Bob Quillfeather"), label: "Bob's walnut laptop", password: BOB_PASSWORD };
/// Alice's second device.
pub const ALICE_AGAIN: Newcomer<'static> =
    Newcomer { name: None, label: "Alice's orange tablet", password: "alice also rows at dawn" };

/// What a fixture is founded with.
#[derive(Debug, Clone, Copy)]
pub struct FixtureOptions {
    /// The organisation's name.
    pub organisation: &'static str,
    /// Whether codes must be typed.
    pub typed_codes: bool,
    /// Whether everybody speaks to the server itself, not to the proxy.
    pub direct: bool,
    /// Which daemon everybody runs.
    pub daemon: Daemon,
    /// More options for the server.
    pub server_options: &'static [&'static str],
    /// More options for Alice's daemon.
    pub daemon_options: &'static [&'static str],
    /// Where the folder of all of them is made; a short path, for the sockets' sake.
    pub within: &'static str,
}

impl Default for FixtureOptions {
    fn default() -> Self {
        Self {
            organisation: "acme",
            typed_codes: false,
            direct: false,
            daemon: Daemon::default(),
            server_options: &[],
            daemon_options: &[],
            within: "/tmp",
        }
    }
}

/// A server, a proxy before it, Alice; the folders of all.
#[derive(Debug)]
pub struct Fixture {
    // Dropped in this order: clients before servers, the folder last.
    /// Alice's first device, unlocked.
    pub alice: Device,
    /// What everybody takes for the server.
    pub proxy: Proxy,
    /// The server itself.
    pub server: Server,
    /// The bootstrap token, used up.
    pub bootstrap_token: String,
    daemon: Daemon,
    folder: TempDir,
}

impl Fixture {
    /// Starts everything and founds the organisation.
    #[must_use]
    pub fn found(options: FixtureOptions) -> Self {
        let folder = tempfile::Builder::new().prefix("parsec").tempdir_in(options.within).unwrap();
        private_folder(&folder.path().join("server"));
        let server = Server::start(&folder.path().join("server"), options.server_options);
        let proxy = Proxy::start(server.address());
        let FixtureOptions { daemon, daemon_options, .. } = options;
        let alice = Device::start_one(daemon, "Alice", &folder.path().join("alice"), daemon_options);
        let bootstrap_token = server.reserve(options.organisation);
        alice
            .found(&Founding {
                server: &if options.direct { server.url() } else { proxy.url() },
                organisation: options.organisation,
                token: &bootstrap_token,
                email: ALICE_EMAIL,
                name: "Alice Hollybrook",
                label: "Alice's green desktop",
                password: ALICE_PASSWORD,
                typed_codes: options.typed_codes,
            })
            .unwrap();
        Self { alice, proxy, server, bootstrap_token, daemon, folder }
    }

    /// A folder of the fixture.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A device that knows nothing yet.
    #[must_use]
    pub fn device(&self, name: &str) -> Device {
        Device::start_one(self.daemon, name, &self.path(name), &[])
    }

    /// Restarts the server and tells the proxy.
    pub fn restart_server(&mut self) {
        self.server.restart();
        self.proxy.set_upstream(self.server.address());
    }

    /// Changes rows of the server's database while the server is stopped.
    ///
    /// # Panics
    /// If no row is changed.
    pub fn tamper(&mut self, statement: &str, values: impl rusqlite::Params) {
        self.server.kill();
        let sql = rusqlite::Connection::open(self.server.database()).unwrap();
        assert!(sql.execute(statement, values).unwrap() > 0);
        drop(sql);
        self.restart_server();
    }

    /// Both sides of a fresh attempt for an invitation of Alice's.
    ///
    /// # Panics
    /// If either side can't even start.
    #[must_use]
    pub fn both(&self, device: &Device, invitation: &InviteResult) -> (Side, Side) {
        let bell = Arc::new(Bell::default());
        let claimer = device.claim(invitation.link.expose(), &bell).unwrap();
        (claimer, self.alice.greet(invitation.token, &bell).unwrap())
    }

    /// Both sides of an enrolment of [`BOB`] that goes well, at the newcomer's password: Alice has
    /// signed, and nobody holds keys yet.
    ///
    /// # Panics
    /// If a side ends before.
    #[must_use]
    pub fn up_to_password(
        &self,
        device: &Device,
        invitation: &InviteResult,
        profile: ProfileName,
    ) -> (Side, Side) {
        let (mut claimer, mut greeter) = self.both(device, invitation);
        script::up_to_password(&mut claimer, &mut greeter, BOB, Some(profile));
        claimer.stage(Stage::SetPassword).unwrap();
        (claimer, greeter)
    }

    /// Alice alone is in the log, and that device holds nothing.
    ///
    /// # Panics
    /// If it is otherwise.
    pub fn nothing_certified(&self, device: &Device) {
        assert_eq!(self.alice.verify().unwrap().count, 2);
        assert!(device.devices().is_empty());
    }

    /// Runs the whole ceremony for an invitation of Alice's.
    ///
    /// # Panics
    /// If either side can't even start.
    #[must_use]
    pub fn enrol(
        &self,
        device: &Device,
        invitation: &InviteResult,
        newcomer: Newcomer<'_>,
        mode: ChoiceMode,
    ) -> Ends {
        let (mut claimer, mut greeter) = self.both(device, invitation);
        script::enrol(&mut claimer, &mut greeter, newcomer, Phone { mode })
    }

    /// Keeps the folders after the fixture is gone.
    #[must_use]
    pub fn keep(self) -> (Device, Proxy, Server, PathBuf) {
        (self.alice, self.proxy, self.server, self.folder.keep())
    }
}

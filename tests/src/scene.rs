//! An organisation ready for a test: a server behind a proxy, and Alice, its first administrator, at her unlocked terminal.

use std::path::PathBuf;
use std::sync::Arc;

use parsec_protocol::control::{ChoiceMode, InviteResult, ProfileName, Stage};
use tempfile::TempDir;

use crate::ceremony::{Bell, Side};
use crate::people::{self, Ends, Newcomer, Phone};
use crate::proxy::Proxy;
use crate::server::Server;
use crate::terminal::{Founding, Terminal, private_folder};

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
/// Alice's second terminal.
pub const ALICE_AGAIN: Newcomer<'static> =
    Newcomer { name: None, label: "Alice's orange tablet", password: "alice also rows at dawn" };

/// What a scene is founded with.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The organisation's name.
    pub organisation: &'static str,
    /// Whether codes must be typed.
    pub typed_codes: bool,
    /// Whether everybody speaks to the server itself, not to the proxy.
    pub direct: bool,
    /// More options for the server.
    pub server_options: &'static [&'static str],
    /// More options for Alice's daemon.
    pub daemon_options: &'static [&'static str],
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            organisation: "acme",
            typed_codes: false,
            direct: false,
            server_options: &[],
            daemon_options: &[],
        }
    }
}

/// A server, a proxy before it, Alice; the folders of all.
#[derive(Debug)]
pub struct Scene {
    // Dropped in this order: clients before servers, the folder last.
    /// Alice's first terminal, unlocked.
    pub alice: Terminal,
    /// What everybody takes for the server.
    pub proxy: Proxy,
    /// The server itself.
    pub server: Server,
    /// The bootstrap token, used up.
    pub bootstrap_token: String,
    folder: TempDir,
}

impl Scene {
    /// Starts everything and founds the organisation.
    #[must_use]
    pub fn found(setting: Setting) -> Self {
        let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
        private_folder(&folder.path().join("server"));
        let server = Server::start(&folder.path().join("server"), setting.server_options);
        let proxy = Proxy::start(server.address());
        let alice = Terminal::start_with("Alice", &folder.path().join("alice"), setting.daemon_options);
        let bootstrap_token = server.reserve(setting.organisation);
        alice
            .found(&Founding {
                server: &if setting.direct { server.url() } else { proxy.url() },
                organisation: setting.organisation,
                token: &bootstrap_token,
                email: ALICE_EMAIL,
                name: "Alice Hollybrook",
                label: "Alice's green desktop",
                password: ALICE_PASSWORD,
                typed_codes: setting.typed_codes,
            })
            .unwrap();
        Self { alice, proxy, server, bootstrap_token, folder }
    }

    /// A folder of the scene.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A terminal that knows nothing yet.
    #[must_use]
    pub fn terminal(&self, name: &str) -> Terminal {
        Terminal::start(name, &self.path(name))
    }

    /// Restarts the server and tells the proxy.
    pub fn restart_server(&mut self) {
        self.server.restart();
        self.proxy.set_upstream(self.server.address());
    }

    /// Both sides of a fresh attempt for an invitation of Alice's.
    ///
    /// # Panics
    /// If either side can't even start.
    #[must_use]
    pub fn both(&self, terminal: &Terminal, invitation: &InviteResult) -> (Side, Side) {
        let bell = Arc::new(Bell::default());
        let claimer = terminal.claim(invitation.link.expose(), &bell).unwrap();
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
        terminal: &Terminal,
        invitation: &InviteResult,
        profile: ProfileName,
    ) -> (Side, Side) {
        let (mut claimer, mut greeter) = self.both(terminal, invitation);
        people::up_to_password(&mut claimer, &mut greeter, BOB, Some(profile));
        claimer.stage(Stage::SetPassword).unwrap();
        (claimer, greeter)
    }

    /// Alice alone is in the log, and that terminal holds nothing.
    ///
    /// # Panics
    /// If it is otherwise.
    pub fn nothing_certified(&self, terminal: &Terminal) {
        assert_eq!(self.alice.verify().unwrap().count, 2);
        assert!(terminal.devices().is_empty());
    }

    /// Runs the whole ceremony for an invitation of Alice's.
    ///
    /// # Panics
    /// If either side can't even start.
    #[must_use]
    pub fn enrol(
        &self,
        terminal: &Terminal,
        invitation: &InviteResult,
        newcomer: Newcomer<'_>,
        mode: ChoiceMode,
    ) -> Ends {
        let (mut claimer, mut greeter) = self.both(terminal, invitation);
        people::enrol(&mut claimer, &mut greeter, newcomer, Phone { mode })
    }

    /// Keeps the folders after the scene is gone.
    #[must_use]
    pub fn keep(self) -> (Terminal, Proxy, Server, PathBuf) {
        (self.alice, self.proxy, self.server, self.folder.keep())
    }
}

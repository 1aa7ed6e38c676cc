//! An organisation in a network: the server, Alice and Bob, each in a namespace of their own.
//!
//! Decides how the server is reached: with TLS, at an address, by a certificate of the test's own
//! authority, because plain http is for loopback alone and a server on loopback would put loopback
//! addresses into links. Nobody here knows a name.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use parsec_protocol::control::{ChoiceMode, InviteResult, Outcome, Registration, TransportChoice};
use tempfile::TempDir;

use super::{Namespace, Network};
use crate::ceremony::{Bell, Side};
use crate::device::{Device, Founding, private_folder};
use crate::fixture::{ALICE_EMAIL, ALICE_PASSWORD, BOB, BOB_PASSWORD};
use crate::process::Daemon;
use crate::script::{self, Ends, Phone};
use crate::server::Server;

/// Where the server listens.
const PORT: u16 = 6770;

/// Who is where.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The server's namespace.
    pub server: &'a Namespace,
    /// Its address there, as others reach it.
    pub address: &'a str,
    /// Alice's namespace.
    pub alice: &'a Namespace,
    /// Which daemon everybody runs.
    pub daemon: Daemon,
    /// More options for hers.
    pub options: &'a [&'a str],
}

/// A founded organisation.
#[derive(Debug)]
pub struct Office {
    // Dropped in this order: programs before the folder, and before the network, which the test
    // holds.
    /// Alice's device, unlocked.
    pub alice: Device,
    /// The server.
    pub server: Server,
    authority: String,
    daemon: Daemon,
    folder: TempDir,
}

/// A Python that can make certificates, from the folder that .ci/run fills.
fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("target/venv/bin/python");
    let has = Command::new(&python).args(["-c", "import trustme"]).output();
    has.is_ok_and(|output| output.status.success()).then_some(python)
}

impl Office {
    /// Whether this machine can have one, or why not.
    ///
    /// # Errors
    /// The reason.
    pub fn possible(filters: bool) -> Result<(), &'static str> {
        Network::possible(filters)?;
        python().map(|_| ()).ok_or("target/venv has no trustme; .ci/run installs it")
    }

    /// Starts the server and Alice's daemon, and founds.
    #[must_use]
    pub fn found(plan: &Plan<'_>) -> Self {
        let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
        let home = folder.path().join("server");
        private_folder(&home);
        let made = Command::new(python().unwrap())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("network/certificate.py"))
            .args([&home, Path::new(plan.address)])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let file = |name: &str| home.join(name).to_str().unwrap().to_owned();
        let (chain, key, authority) = (file("chain.pem"), file("key.pem"), file("ca.pem"));
        let ip: std::net::IpAddr = plan.address.parse().unwrap();
        let url = format!("https://{}", std::net::SocketAddr::new(ip, PORT));
        let mut options = vec!["--tls-certificate", &chain, "--tls-key", &key, "--public-url", &url];
        options.extend(crate::server::NO_LIMITS);
        let listen = std::net::SocketAddr::new(ip, PORT).to_string();
        let server = Server::start_in(plan.server, &listen, &home, &options);
        let options: Vec<&str> =
            ["--ca-file", &authority].into_iter().chain(plan.options.iter().copied()).collect();
        let home = folder.path().join("alice");
        let alice = Device::start_in(plan.daemon, plan.alice, "Alice", &home, &options);
        let token = server.reserve("acme");
        alice
            .found(&Founding {
                server: &url,
                organisation: "acme",
                token: &token,
                email: ALICE_EMAIL,
                name: "Alice Hollybrook",
                label: "Alice's green desktop",
                password: ALICE_PASSWORD,
                typed_codes: false,
            })
            .unwrap();
        Self { alice, server, authority, daemon: plan.daemon, folder }
    }

    /// A folder of the office.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A device at a place that knows nothing yet.
    #[must_use]
    pub fn device(&self, namespace: &Namespace, name: &str) -> Device {
        Device::start_in(self.daemon, namespace, name, &self.path(name), &["--ca-file", &self.authority])
    }

    /// Both sides of a ceremony over the peer-to-peer transport, started.
    ///
    /// # Panics
    /// If either can't start.
    #[must_use]
    pub fn meet(&self, bob: &Device, invitation: &InviteResult, link: &str) -> (Side, Side) {
        let bell = Arc::new(Bell::default());
        let greeter = self.alice.greet_by(invitation.token, TransportChoice::P2p, &bell).unwrap();
        let claimer = bob.claim_by(link, TransportChoice::P2p, &bell).unwrap();
        (claimer, greeter)
    }

    /// Bob is enrolled without the server, which is away; then it comes back, and he is in the log
    /// once.
    ///
    /// # Panics
    /// Where it is not so.
    pub fn enrols(&mut self, bob: &Device, invitation: &InviteResult, link: &str) {
        let (mut claimer, mut greeter) = self.meet(bob, invitation, link);
        let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone { mode: ChoiceMode::Picked });
        self.registers(bob, &ends);
    }

    /// What follows a ceremony without the server: pending, and once it is back, registered, once.
    ///
    /// # Panics
    /// Where it is not so.
    pub fn registers(&mut self, bob: &Device, ends: &Ends) {
        for end in [&ends.claimer, &ends.greeter] {
            assert!(matches!(end, Ok(Outcome::Enrolled { registered: false, .. })), "{ends:?}");
        }
        assert_eq!(bob.devices()[0].registration, Registration::Pending);
        assert_eq!(self.alice.devices()[0].outbox, Some(1));
        self.server.restart();
        let _ = bob.until_device(|device| device.registration == Registration::Registered);
        let _ = self.alice.until_device(|device| device.outbox == Some(0));
        bob.unlock(BOB_PASSWORD).unwrap();
        for device in [&self.alice, bob] {
            let verified = device.verify().unwrap();
            assert_eq!(
                (verified.count, verified.users, verified.devices),
                (4, 2, 2),
                "each certificate once"
            );
        }
    }
}

//! A person's device: a real parsecd with its own data and runtime folders, started, killed and
//! started again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use parsec_protocol::control::{
    CeremonyView, ClaimStart, DeviceListResult, DeviceSelector, DeviceUnlock, DeviceView, GreetStart,
    InviteDevice, InviteResult, InviteUser, OrgBootstrap, OrgBootstrapped, SOCKET_DIRECTORY, SOCKET_NAME,
    SafeSummary, SecretText, StatusResult, TransportChoice, TrustVerifyResult, UserListResult, method,
};
use parsec_protocol::ids::Token;

use crate::ceremony::{Bell, Ended, Side};
use crate::ctl::{self, Said};
use crate::events::Follower;
use crate::network::Namespace;
use crate::process::{Daemon, Process, command_in};
use crate::ready::Ready;
use crate::rpc::{Client, Failed};

/// Once for all tests of a program.
static SESSION: Once = Once::new();

/// Confirmations are given by sessions, and one whose leader has ended gives none: a test that was
/// started by something like that begins a session of its own.
fn be_in_a_session() {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let session = stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().to_owned();
    if session == "0" || !Path::new("/proc").join(session).exists() {
        // Fails for the leader of a group alone, and then the tests that vouch say why they fail.
        let _ = rustix::process::setsid();
    }
}

/// A device of a test. Its folder name is short, because the socket's path has 107 bytes at most.
#[derive(Debug)]
pub struct Device {
    name: String,
    folder: PathBuf,
    daemon: Daemon,
    /// Words before the program's name, where it runs in a namespace of its own.
    prefix: Vec<String>,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    process: Option<Process>,
}

impl Device {
    /// Starts a daemon with light key files in a folder, which may hold what an earlier one kept.
    #[must_use]
    pub fn start(name: &str, folder: &Path) -> Self {
        Self::start_with(name, folder, &[])
    }

    /// The same with options for parsecd.
    #[must_use]
    pub fn start_with(name: &str, folder: &Path, options: &[&str]) -> Self {
        Self::start_one(Daemon::default(), name, folder, options)
    }

    /// The same with the daemon that is meant.
    #[must_use]
    pub fn start_one(daemon: Daemon, name: &str, folder: &Path, options: &[&str]) -> Self {
        Self::begin(daemon, name, folder, Vec::new(), options)
    }

    /// The same in a namespace of a network.
    #[must_use]
    pub fn start_in(
        daemon: Daemon,
        namespace: &Namespace,
        name: &str,
        folder: &Path,
        options: &[&str],
    ) -> Self {
        Self::begin(daemon, name, folder, namespace.prefix(), options)
    }

    fn begin(daemon: Daemon, name: &str, folder: &Path, prefix: Vec<String>, options: &[&str]) -> Self {
        SESSION.call_once(be_in_a_session);
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut device = Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            daemon,
            prefix,
            options,
            environment: Vec::new(),
            process: None,
        };
        device.restart();
        device
    }

    /// From the next start on, the daemon has these in its environment, and nothing that was given
    /// so before.
    pub fn set_environment(&mut self, environment: &[(&str, &str)]) {
        self.environment =
            environment.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    }

    /// Starts it again, whether it still runs or not.
    pub fn restart(&mut self) {
        self.kill();
        for part in ["data", "run"] {
            private_folder(&self.folder.join(part));
        }
        let ready = Ready::new(&self.folder.join("ready"));
        let mut command = command_in(&self.prefix, &self.daemon.binary());
        command
            .arg("--data-dir")
            .arg(self.data())
            .arg("--ready-file")
            .arg(ready.path())
            .args(&self.options)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .env("XDG_RUNTIME_DIR", self.runtime())
            .env("HOME", &self.folder);
        let name = format!("parsecd of {}", self.name);
        let mut process = Process::start(&name, command, &self.folder.join("daemon.log"));
        let _ = ready.wait(&mut process);
        self.process = Some(process);
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Its process.
    ///
    /// # Panics
    /// If it has been killed.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// Number of its process.
    ///
    /// # Panics
    /// If it has been killed.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Leaves the daemon running after the test; returns its process id.
    pub fn release(&mut self) -> Option<u32> {
        self.process.take().map(Process::release)
    }

    /// Its folder: data, runtime folder and log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the daemon keeps.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// `$XDG_RUNTIME_DIR`.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// The daemon's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime().join(SOCKET_DIRECTORY).join(SOCKET_NAME)
    }

    /// What the daemon has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("daemon.log")).unwrap_or_default()
    }

    /// Runs parsecctl against this daemon.
    #[must_use]
    pub fn ctl(&self, arguments: &[&str]) -> Said {
        ctl::run(&self.runtime(), arguments, "")
    }

    /// The same with a text on its standard input.
    #[must_use]
    pub fn ctl_input(&self, arguments: &[&str], input: &str) -> Said {
        ctl::run(&self.runtime(), arguments, input)
    }

    /// A new connection.
    ///
    /// # Errors
    /// [`Failed::Gone`].
    pub fn client(&self) -> Result<Client, Failed> {
        Client::connect(&self.socket())
    }

    /// Calls a method on a connection of its own.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn call<R: serde::de::DeserializeOwned>(
        &self,
        method: &str,
        parameters: impl serde::Serialize,
    ) -> Result<R, Failed> {
        self.client()?.call(method, parameters)
    }

    /// `status.show`
    #[must_use]
    pub fn status(&self) -> StatusResult {
        self.call(method::STATUS, ()).unwrap()
    }

    /// This machine's devices.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceView> {
        self.call::<DeviceListResult>(method::DEVICE_LIST, ()).unwrap().devices
    }

    /// Unlocks its only device.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn unlock(&self, password: &str) -> Result<DeviceView, Failed> {
        let password = SecretText::new(password.to_owned().into());
        self.call(method::DEVICE_UNLOCK, DeviceUnlock { select: DeviceSelector::default(), password })
    }

    /// Founds an organisation.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn found(&self, founding: &Founding<'_>) -> Result<OrgBootstrapped, Failed> {
        self.call(
            method::ORG_BOOTSTRAP,
            OrgBootstrap {
                server: founding.server.to_owned(),
                organisation: founding.organisation.parse().unwrap(),
                token: SecretText::new(founding.token.to_owned().into()),
                email: founding.email.parse().unwrap(),
                name: founding.name.parse().unwrap(),
                device_label: founding.label.parse().unwrap(),
                password: SecretText::new(founding.password.to_owned().into()),
                typed_codes: founding.typed_codes,
            },
        )
    }

    /// Invites a person; no mail.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn invite(&self, email: &str) -> Result<InviteResult, Failed> {
        let email = email.parse().unwrap();
        let parameters =
            InviteUser { select: DeviceSelector::default(), email, days: None, mail: false, transport: None };
        self.call(method::INVITE_USER, parameters)
    }

    /// Invites a person by a transport; no mail.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn invite_by(&self, email: &str, transport: TransportChoice) -> Result<InviteResult, Failed> {
        let (select, transport) = (DeviceSelector::default(), Some(transport));
        let email = email.parse().unwrap();
        self.call(method::INVITE_USER, InviteUser { select, email, days: None, mail: false, transport })
    }

    /// Invites a second device of one's own; no mail.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn invite_device(&self) -> Result<InviteResult, Failed> {
        let parameters =
            InviteDevice { select: DeviceSelector::default(), days: None, mail: false, transport: None };
        self.call(method::INVITE_DEVICE, parameters)
    }

    /// Starts to greet.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn greet(&self, token: Token, bell: &Arc<Bell>) -> Result<Side, Ended> {
        let view: CeremonyView = self.call(
            method::GREET_START,
            GreetStart { select: DeviceSelector::default(), token, transport: None },
        )?;
        Side::attach(&self.socket(), view.id, bell)
    }

    /// Starts to claim.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn claim(&self, link: &str, bell: &Arc<Bell>) -> Result<Side, Ended> {
        let link = SecretText::new(link.to_owned().into());
        let view: CeremonyView = self.call(method::CLAIM_START, ClaimStart { link, transport: None })?;
        Side::attach(&self.socket(), view.id, bell)
    }

    /// Starts to greet by a transport.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn greet_by(
        &self,
        token: Token,
        transport: TransportChoice,
        bell: &Arc<Bell>,
    ) -> Result<Side, Ended> {
        let (select, transport) = (DeviceSelector::default(), Some(transport));
        let view: CeremonyView = self.call(method::GREET_START, GreetStart { select, token, transport })?;
        Side::attach(&self.socket(), view.id, bell)
    }

    /// Starts to claim by a transport.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn claim_by(&self, link: &str, transport: TransportChoice, bell: &Arc<Bell>) -> Result<Side, Ended> {
        let link = SecretText::new(link.to_owned().into());
        let transport = Some(transport);
        let view: CeremonyView = self.call(method::CLAIM_START, ClaimStart { link, transport })?;
        Side::attach(&self.socket(), view.id, bell)
    }

    /// Waits until a device of this machine is as wanted, by the daemon's events.
    ///
    /// # Panics
    /// If nothing comes for a long time, or the daemon goes away.
    #[must_use]
    pub fn until_device(&self, mut wanted: impl FnMut(&DeviceView) -> bool) -> DeviceView {
        let mut follower = Follower::start(&self.socket(), None);
        loop {
            let devices = follower.state.as_ref().map(|state| state.devices.clone()).unwrap_or_default();
            if let Some(device) = devices.into_iter().find(|device| wanted(device)) {
                return device;
            }
            let _ = follower.item().unwrap();
        }
    }

    /// Waits until a safe of this machine is as wanted, by the daemon's events.
    ///
    /// # Panics
    /// If nothing comes for a long time, or the daemon goes away.
    #[must_use]
    pub fn until_safe(&self, mut wanted: impl FnMut(&SafeSummary) -> bool) -> SafeSummary {
        let mut follower = Follower::start(&self.socket(), None);
        loop {
            let safes = follower.state.as_ref().map(|state| state.safes.clone()).unwrap_or_default();
            if let Some(safe) = safes.into_iter().find(|safe| wanted(safe)) {
                return safe;
            }
            let _ = follower.item().unwrap();
        }
    }

    /// The members, from the verified log.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn users(&self) -> Result<UserListResult, Failed> {
        self.call(method::USER_LIST, DeviceSelector::default())
    }

    /// Fetches and verifies the whole log.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn verify(&self) -> Result<TrustVerifyResult, Failed> {
        self.call(method::TRUST_VERIFY, DeviceSelector::default())
    }
}

/// What founding an organisation takes.
#[derive(Debug, Clone, Copy)]
pub struct Founding<'a> {
    /// The server's address.
    pub server: &'a str,
    /// The reserved name.
    pub organisation: &'a str,
    /// The bootstrap token.
    pub token: &'a str,
    /// The founder's address.
    pub email: &'a str,
    /// The founder's name.
    pub name: &'a str,
    /// What the founder's device is called.
    pub label: &'a str,
    /// Protects the key file.
    pub password: &'a str,
    /// Whether codes must be typed.
    pub typed_codes: bool,
}

/// Makes a folder that only its owner can enter.
pub fn private_folder(path: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).unwrap();
}

/// Copies the files of a folder of a daemon or server, and its folders, which only their owner can
/// enter; what is no file, a socket say, stays behind.
///
/// # Panics
/// If something can't be read or made.
pub fn copy_folder(from: &Path, to: &Path) {
    private_folder(to);
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (there, kind) = (to.join(entry.file_name()), entry.file_type().unwrap());
        if kind.is_dir() {
            copy_folder(&entry.path(), &there);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), there).unwrap();
        }
    }
}

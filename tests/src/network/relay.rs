//! A circuit relay of libp2p's in a namespace of a network: what lets two devices meet that can't
//! reach each other.

use std::path::{Path, PathBuf};

use super::Namespace;
use crate::process::{Process, binary, command_in};
use crate::ready::Ready;

/// Where it listens, for QUIC and TCP. Not below 1024: it is not the port of relays in general.
const PORT: u16 = 4_001;

/// A relay of a test.
#[derive(Debug)]
pub struct RelayServer {
    namespace: Namespace,
    folder: PathBuf,
    options: Vec<String>,
    process: Process,
    /// Its addresses as a link and `parsecd --relay` take them: QUIC, then TCP.
    pub addresses: [String; 2],
}

impl RelayServer {
    /// Starts one at an address of a namespace.
    #[must_use]
    pub fn start(namespace: &Namespace, address: &str, folder: &Path, options: &[&str]) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let port = PORT.to_string();
        let own = ["--address", address, "--port", &port];
        let options: Vec<String> = own.iter().chain(options).map(|&word| word.to_owned()).collect();
        let (process, addresses) = launch(namespace, folder, &options);
        Self { namespace: namespace.clone(), folder: folder.to_owned(), options, process, addresses }
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again as who it was.
    pub fn restart(&mut self) {
        self.process.kill();
        (self.process, self.addresses) = launch(&self.namespace, &self.folder, &self.options);
    }
}

fn launch(namespace: &Namespace, folder: &Path, options: &[String]) -> (Process, [String; 2]) {
    let ready = Ready::new(&folder.join("ready"));
    let mut command = command_in(&namespace.prefix(), &binary("parsec-test-relay"));
    command.args(options).arg("--ready-file").arg(ready.path());
    let mut process = Process::start("the relay", command, &folder.join("relay.log"));
    let said = ready.wait(&mut process);
    let mut lines = said.lines().map(str::to_owned);
    let addresses = [lines.next().unwrap(), lines.next().unwrap()];
    (process, addresses)
}

//! A real metadata server with its own folder: started on a free port, killed, started again where
//! it was.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::network::Namespace;
use crate::process::{Process, binary, command_in};

/// Options that lift the limits per address and organisation: every person of a test comes from the
/// same machine.
pub const NO_LIMITS: &[&str] = &[
    "--no-rate-limits",
    "--budget-administrator",
    "100000:1000",
    "--budget-member",
    "100000:1000",
    "--budget-organisation",
    "100000:1000",
];

/// A metadata server of a test.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    /// Words before the program's name, where it runs in a namespace of its own.
    prefix: Vec<String>,
    options: Vec<String>,
    address: SocketAddr,
    process: Process,
}

impl Server {
    /// Starts one on a free port, with its database, its logs and its mail in `folder`.
    #[must_use]
    pub fn start(folder: &Path, options: &[&str]) -> Self {
        Self::begin(folder, Vec::new(), "127.0.0.1:0", options)
    }

    /// Starts one in a namespace of a network, at an address there.
    #[must_use]
    pub fn start_in(namespace: &Namespace, listen: &str, folder: &Path, options: &[&str]) -> Self {
        Self::begin(folder, namespace.prefix(), listen, options)
    }

    fn begin(folder: &Path, prefix: Vec<String>, listen: &str, options: &[&str]) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let (process, address) = launch(folder, &prefix, listen, &options);
        Self { folder: folder.to_owned(), prefix, options, address, process }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address to give to clients that reach it directly.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its folder: everything it keeps, and its log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder.join("metadata.sqlite")
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// From the next start on, it has these in its environment, and nothing that was given so
    /// before.
    pub fn set_environment(&mut self, environment: &[(&str, &str)]) {
        let words = environment.iter().map(|(key, value)| format!("{key}={value}"));
        self.prefix = if environment.is_empty() {
            Vec::new()
        } else {
            std::iter::once("env".to_owned()).chain(words).collect()
        };
    }

    /// Starts it again at the same address, whether it still runs or not.
    pub fn restart(&mut self) {
        self.process.kill();
        let (process, address) = launch(&self.folder, &self.prefix, &self.address.to_string(), &self.options);
        self.process = process;
        self.address = address;
    }

    /// Leaves it running after the test; returns its process id.
    #[must_use]
    pub fn release(self) -> u32 {
        self.process.release()
    }

    /// Reserves an organisation; returns its bootstrap token.
    #[must_use]
    pub fn reserve(&self, organisation: &str) -> String {
        let output = Command::new(binary("parsec-metadata"))
            .args(["organisation", "create", organisation, "--database"])
            .arg(self.folder.join("metadata.sqlite"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let token = text
            .split_whitespace()
            .find(|word| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit()));
        token.unwrap_or_else(|| panic!("no token in {text:?}")).to_owned()
    }
}

/// Runs one of the server's commands to its end.
#[must_use]
pub fn metadata(arguments: &[&str], database: &Path) -> Output {
    Command::new(binary("parsec-metadata")).args(arguments).arg("--database").arg(database).output().unwrap()
}

/// Copies a stopped server's database from its folder to another one, or back, over what is there.
pub fn copy_database(from: &Path, to: &Path) {
    for name in ["metadata.sqlite", "metadata.sqlite-wal", "metadata.sqlite-shm"] {
        let _ = std::fs::remove_file(to.join(name));
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

fn launch(folder: &Path, prefix: &[String], listen: &str, options: &[String]) -> (Process, SocketAddr) {
    let ready = crate::ready::Ready::new(&folder.join("ready"));
    let mut command = command_in(prefix, &binary("parsec-metadata"));
    command
        .args(["serve", "--create", "--listen", listen])
        .arg("--database")
        .arg(folder.join("metadata.sqlite"))
        .arg("--ready-file")
        .arg(ready.path())
        .args(options);
    let mut process = Process::start("parsec-metadata", command, &folder.join("server.log"));
    let said = ready.wait(&mut process);
    let address = said.trim().rsplit('/').next().unwrap_or_default().parse();
    (process, address.unwrap_or_else(|_| panic!("the server says that it is ready at {said:?}")))
}

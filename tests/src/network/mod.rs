//! Networks of their own for a test: namespaces (network namespaces of the kernel) with cables and
//! switches between them, in which the real programs run. Unix sockets and files are the machine's,
//! so a test drives a daemon in any namespace as it drives every other.
//!
//! Decides that nothing of it is in the machine's own network: a switch is a bridge in a namespace,
//! too. Everything is gone with the [`Network`]; what a killed test left behind goes with the next
//! one.

mod office;
mod relay;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub use office::{Office, Plan};
pub use relay::RelayServer;

use crate::installed;

/// What every name of ours begins with; the process id follows.
const PREFIX: &str = "parsectest-";
/// Networks of this process, so that no two share a name.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// A network namespace where programs run, with its own addresses.
#[derive(Debug, Clone)]
pub struct Namespace {
    namespace: String,
}

impl Namespace {
    /// What goes before a program's name so that it runs here.
    #[must_use]
    pub fn prefix(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.namespace].map(str::to_owned).to_vec()
    }

    /// Runs a program here; its output.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&self, words: &[&str]) -> String {
        let prefix = self.prefix();
        let words: Vec<&str> = prefix.iter().map(String::as_str).chain(words.iter().copied()).collect();
        run(&words)
    }

    /// `ip` with these words, for this namespace.
    pub fn ip(&self, words: &[&str]) -> String {
        let words: Vec<&str> =
            ["ip", "-n", &self.namespace].into_iter().chain(words.iter().copied()).collect();
        run(&words)
    }

    /// Loads rules of the packet filter.
    ///
    /// # Panics
    /// If the kernel does not take them.
    pub fn filter(&self, rules: &str) {
        let prefix = self.prefix();
        let mut nft = Command::new(&prefix[0])
            .args(&prefix[1..])
            .args(["nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        let output = nft.wait_with_output().unwrap();
        assert!(output.status.success(), "{rules}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Takes a table of the packet filter away, if it is there.
    pub fn unfilter(&self, table: &str) {
        self.filter(&format!("add table {table}\ndelete table {table}\n"));
    }

    /// Packets that a counter of a table such as `inet test` has counted.
    ///
    /// # Panics
    /// If there is no such counter.
    #[must_use]
    pub fn counted(&self, table: &str, counter: &str) -> u64 {
        let (family, table) = table.split_once(' ').unwrap();
        let text = self.run(&["nft", "list", "counter", family, table, counter]);
        let mut words = text.split_whitespace().skip_while(|&word| word != "packets").skip(1);
        words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no number in {text}"))
    }

    /// Pulls the cable.
    pub fn unplug(&self, interface: &str) {
        self.ip(&["link", "set", interface, "down"]);
    }

    /// Puts it back. IPv6 addresses that were lost with it are not given again.
    pub fn plug(&self, interface: &str) {
        self.ip(&["link", "set", interface, "up"]);
    }

    /// A value of the kernel's settings for this network, such as `net/ipv4/ip_forward`.
    pub fn set(&self, setting: &str, value: &str) {
        self.run(&["sh", "-c", &format!("echo {value} > /proc/sys/{setting}")]);
    }

    /// Sends everything for elsewhere to this router.
    pub fn gateway(&self, by: &str) {
        self.ip(&["route", "add", "default", "via", by]);
    }
}

/// Places and what joins them.
#[derive(Debug)]
pub struct Network {
    name: String,
    namespaces: Vec<String>,
}

impl Network {
    /// Whether this machine can have one. `filters`: with the packet filter.
    ///
    /// # Errors
    /// The reason, for [`crate::skip`].
    pub fn possible(filters: bool) -> Result<(), &'static str> {
        if !rustix::process::geteuid().is_root() {
            return Err("networks of one's own take root");
        }
        for (program, why) in [("ip", "ip (iproute2) is missing"), ("nft", "nft (nftables) is missing")] {
            if !installed(program) && (program != "nft" || filters) {
                return Err(why);
            }
        }
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-probe", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).stderr(Stdio::null()).status();
        let _ = Command::new("ip").args(["netns", "del", &name]).stderr(Stdio::null()).status();
        if made.is_ok_and(|status| status.success()) {
            Ok(())
        } else {
            Err("the kernel gives no namespaces here")
        }
    }

    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        sweep();
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        Self { name: format!("{PREFIX}{}-{number}", std::process::id()), namespaces: Vec::new() }
    }

    /// A namespace with nothing but loopback.
    pub fn namespace(&mut self, name: &str) -> Namespace {
        let namespace = format!("{}-{name}", self.name);
        run(&["ip", "netns", "add", &namespace]);
        self.namespaces.push(namespace.clone());
        let namespace = Namespace { namespace };
        // Addresses are good at once: who plugs the cable in knows that nobody else has them.
        for setting in ["all", "default"] {
            namespace.set(&format!("net/ipv6/conf/{setting}/accept_dad"), "0");
        }
        namespace.plug("lo");
        namespace
    }

    /// A switch.
    pub fn switch(&mut self, name: &str) -> Namespace {
        let switch = self.namespace(name);
        switch.ip(&["link", "add", "br0", "type", "bridge"]);
        switch.plug("br0");
        switch
    }

    /// A cable from a namespace to a switch, with these addresses (`10.1.0.2/24`) at the
    /// namespace's end. Returns the switch's port.
    pub fn cable(
        &self,
        namespace: &Namespace,
        interface: &str,
        switch: &Namespace,
        addresses: &[&str],
    ) -> String {
        let count = switch.ip(&["-o", "link"]).lines().count();
        let port = format!("port{count}");
        namespace.ip(&[
            "link",
            "add",
            interface,
            "type",
            "veth",
            "peer",
            "name",
            &port,
            "netns",
            &switch.namespace,
        ]);
        switch.ip(&["link", "set", &port, "master", "br0"]);
        switch.plug(&port);
        for address in addresses {
            namespace.ip(&["address", "add", address, "dev", interface]);
        }
        namespace.plug(interface);
        port
    }

    /// Makes a namespace a router that hides what is behind `inside`: others see one address, and
    /// nobody unasked comes in.
    pub fn hide(&self, router: &Namespace, inside: &str, outside: &str) {
        router.set("net/ipv4/ip_forward", "1");
        // Without `input` closed, a packet to a mapping that the other side has not made yet would
        // take the router itself for its end, and then the mapping for a clash.
        router.filter(&format!(
            "table inet nat {{\n\
             chain post {{ type nat hook postrouting priority 100; oifname {outside} masquerade; }}\n\
             chain forward {{ type filter hook forward priority 0; policy drop;\n\
             ct state established,related accept; iifname {inside} accept; }}\n\
             chain input {{ type filter hook input priority 0; policy drop;\n\
             ct state established,related accept; iifname lo accept; icmpv6 type != 255 accept; }}\n}}\n"
        ));
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

/// Runs a program of the machine; its output.
fn run(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Takes away what a killed test has left.
fn sweep() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !PathBuf::from(format!("/proc/{process}")).exists()) {
            let _ = Command::new("ip").args(["netns", "del", &name]).stderr(Stdio::null()).status();
        }
    }
}

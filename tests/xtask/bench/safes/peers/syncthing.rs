//! syncthing: two devices that trust each other, and between them one that holds everything sealed,
//! as our server does.
//!
//! Decides that nobody announces anything or relays, and that a change is looked for a second after
//! it was made, the least that it takes (ten are its default). What is *shared* is at the one in
//! the middle, what is *read* at the second device.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::super::SMALL_BYTES;
use super::super::table::Table;
use super::programs::{Environment, Serving, Workspace, free_port, until};
use crate::bench::{percentile, said};

/// What its own pages ask for.
const API_KEY: &str = "bench";

struct Node {
    name: &'static str,
    id: String,
    port: u16,
    pages: u16,
    folder: PathBuf,
    home: String,
    serving: Option<Serving>,
}

impl Node {
    fn new(workspace: &Workspace, name: &'static str) -> Result<Self, String> {
        let home = workspace.word(&format!("st-{name}"));
        let folder = workspace.empty(name)?;
        std::fs::create_dir(folder.join(".stfolder")).map_err(said)?;
        let nothing = Environment::new();
        workspace.run(
            &["syncthing", "generate", "--home", &home, "--no-default-folder", "--skip-port-probing"],
            &nothing,
        )?;
        let id = workspace.told(&["syncthing", "serve", "--home", &home, "--device-id"], &nothing)?;
        Ok(Self { name, id, port: free_port()?, pages: free_port()?, folder, home, serving: None })
    }

    /// Its settings: a folder of this kind, and with whom it is shared under which password.
    fn set_up(&self, kind: &str, others: &[(&Self, &str)]) -> Result<(), String> {
        let shared = |(node, password): &(&Self, &str)| {
            format!("<device id=\"{}\"><encryptionPassword>{password}</encryptionPassword></device>", node.id)
        };
        let known = |node: &Self| {
            format!(
                "<device id=\"{}\" name=\"{}\"><address>tcp://127.0.0.1:{}</address></device>",
                node.id, node.name, node.port
            )
        };
        let own = (self, "");
        let shared: String = std::iter::once(&own).chain(others).map(shared).collect();
        let known: String =
            std::iter::once(self).chain(others.iter().map(|(node, _)| *node)).map(known).collect();
        let text = format!(
            "<configuration version=\"35\">\
             <folder id=\"f\" label=\"f\" path=\"{}\" type=\"{kind}\" rescanIntervalS=\"3600\" \
             fsWatcherEnabled=\"true\" fsWatcherDelayS=\"1\"><filesystemType>basic</filesystemType>{shared}\
             <minDiskFree unit=\"%\">0</minDiskFree></folder>{known}\
             <gui enabled=\"true\"><address>127.0.0.1:{}</address><apikey>{API_KEY}</apikey></gui>\
             <options><listenAddress>tcp://127.0.0.1:{}</listenAddress>\
             <globalAnnounceEnabled>false</globalAnnounceEnabled>\
             <localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false</relaysEnabled>\
             <natEnabled>false</natEnabled><urAccepted>-1</urAccepted>\
             <crashReportingEnabled>false</crashReportingEnabled><autoUpgradeIntervalH>0</autoUpgradeIntervalH>\
             <startBrowser>false</startBrowser><reconnectionIntervalS>1</reconnectionIntervalS>\
             <setLowPriority>false</setLowPriority></options></configuration>",
            self.folder.display(),
            self.pages,
            self.port
        );
        std::fs::write(Path::new(&self.home).join("config.xml"), text).map_err(said)
    }

    fn start(&mut self, workspace: &Workspace) -> Result<(), String> {
        let words =
            ["syncthing", "serve", "--home", &self.home, "--no-browser", "--no-restart", "--logflags=0"];
        let alone = Environment::from([
            ("STNORESTART", "1".to_owned()),
            ("STMONITORED", "yes".to_owned()),
            ("STNOUPGRADE", "1".to_owned()),
        ]);
        self.serving = Some(workspace.serve(&words, &alone, self.pages)?);
        Ok(())
    }

    fn ask(&self, method: &str, what: &str) -> Result<String, String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.pages)).map_err(said)?;
        let head = format!(
            "{method} /rest/{what} HTTP/1.0\r\nHost: localhost\r\nX-API-Key: {API_KEY}\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).map_err(said)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(said)?;
        Ok(answer)
    }

    /// It looks at its folder now.
    fn scan(&self) -> Result<(), String> {
        self.ask("POST", "db/scan?folder=f").map(|_| ())
    }

    /// Whether it has all of so many files.
    fn has_all(&self, files: usize) -> bool {
        let Ok(answer) = self.ask("GET", "db/status?folder=f") else { return false };
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        let Ok(status) = serde_json::from_str::<serde_json::Value>(body) else { return false };
        let count = |name: &str| status.get(name).and_then(serde_json::Value::as_u64);
        count("globalFiles") >= Some(files as u64)
            && count("needFiles") == Some(0)
            && status.get("state").and_then(serde_json::Value::as_str) == Some("idle")
    }
}

pub(super) fn measure(workspace: &Workspace, name: &str, table: &mut Table) -> Result<(), String> {
    let (mut one, mut other, mut between) =
        (Node::new(workspace, "one")?, Node::new(workspace, "other")?, Node::new(workspace, "between")?);
    one.set_up("sendreceive", &[(&between, "secret")])?;
    other.set_up("sendreceive", &[(&between, "secret")])?;
    between.set_up("receiveencrypted", &[(&one, ""), (&other, "")])?;
    for node in [&mut one, &mut other, &mut between] {
        node.start(workspace)?;
    }
    let mut files = 0;
    // The first one finds everybody connected.
    let _ = passed(&one, &other, "hello")?;
    files += 1;
    if table.wants("latency") {
        let mut lasted = Vec::new();
        for sample in 0..workspace.plan.samples.min(20) {
            lasted.push(passed(&one, &other, &format!("l{sample}"))?);
            files += 1;
        }
        table.note("latency", name, percentile(&mut lasted, 0.95));
    }
    if table.wants("small shared") || table.wants("small read") {
        for round in 0..workspace.plan.rounds {
            let made = workspace.tree("made", workspace.plan.small)?;
            files += workspace.plan.small;
            let begun = Instant::now();
            std::fs::rename(made, one.folder.join(format!("t{round}"))).map_err(said)?;
            one.scan()?;
            until(|| between.has_all(files))?;
            table.note("small shared", name, begun.elapsed().as_secs_f64());
            until(|| other.has_all(files))?;
            table.note("small read", name, begun.elapsed().as_secs_f64());
        }
        if let Some(serving) = &one.serving {
            table.note("memory idle", name, serving.resident_mib());
        }
    }
    if table.wants("put") || table.wants("edit") || table.wants("memory up") {
        for round in 0..workspace.plan.rounds {
            let to = one.folder.join(format!("large{round}"));
            std::fs::copy(workspace.large(), workspace.path("copy")).map_err(said)?;
            files += 1;
            let begun = Instant::now();
            std::fs::rename(workspace.path("copy"), &to).map_err(said)?;
            one.scan()?;
            until(|| between.has_all(files))?;
            table.note("put", name, workspace.rate(begun.elapsed().as_secs_f64()));
            until(|| other.has_all(files))?;
            let mut contents = [0; SMALL_BYTES];
            getrandom::fill(&mut contents).map_err(said)?;
            let at = workspace.bytes() / 2;
            let begun = Instant::now();
            File::options()
                .write(true)
                .open(&to)
                .and_then(|file| file.write_all_at(&contents, at))
                .map_err(said)?;
            one.scan()?;
            let there = other.folder.join(format!("large{round}"));
            until(|| has(&there, at, &contents))?;
            table.note("edit", name, begun.elapsed().as_secs_f64());
            until(|| other.has_all(files) && between.has_all(files))?;
            std::fs::remove_file(&to).map_err(said)?;
            one.scan()?;
            until(|| !there.exists())?;
            files -= 1;
        }
        if let Some(serving) = &one.serving {
            table.note("memory up", name, serving.peak_mib());
        }
    }
    Ok(())
}

fn has(path: &Path, at: u64, contents: &[u8]) -> bool {
    let mut found = vec![0; contents.len()];
    File::open(path).and_then(|file| file.read_exact_at(&mut found, at)).is_ok() && found == contents
}

/// Seconds that a small file takes from one device to the other.
fn passed(one: &Node, other: &Node, name: &str) -> Result<f64, String> {
    let mut contents = [0; SMALL_BYTES];
    getrandom::fill(&mut contents).map_err(said)?;
    std::fs::write(one.folder.join(name), contents).map_err(said)?;
    let begun = Instant::now();
    until(|| has(&other.folder.join(name), 0, &contents))?;
    Ok(begun.elapsed().as_secs_f64())
}

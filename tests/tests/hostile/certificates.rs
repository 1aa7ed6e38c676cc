//! Servers whose certificate is wrong, each in its own way, and what answers in a server's place:
//! every one is named as what it is, and no ceremony goes another way without a word.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parsec_protocol::control::{CeremonyView, ProblemKind, Stage, TransportChoice};
use parsec_tests::ceremony::Bell;
use parsec_tests::device::{Device, private_folder};
use parsec_tests::fixture::{BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::launch::{Launched, daemon, launch};
use parsec_tests::proxy::{Answer, Fate, Honest, Meddler, Request};
use parsec_tests::ready::logged;
use parsec_tests::server::Server;
use rcgen::{CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};
use rustix::process::Signal;

/// An authority of the test's own.
struct Authority {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    /// A server with a certificate for this name, good from one year to another.
    fn server(&self, folder: &Path, name: &str, years: (i32, i32)) -> Server {
        private_folder(folder);
        let [chain, secret] = self.certify(folder, name, years);
        let options = ["--tls-certificate", chain.to_str().unwrap(), "--tls-key", secret.to_str().unwrap()];
        Server::start(folder, &options)
    }

    /// Writes such a certificate and its key.
    fn certify(&self, folder: &Path, name: &str, (from, until): (i32, i32)) -> [PathBuf; 2] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.certificate, &self.key).unwrap();
        let [chain, secret] = ["chain.pem", "key.pem"].map(|file| folder.join(file));
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        [chain, secret]
    }
}

/// Now lies between.
const GOOD: (i32, i32) = (2020, 2090);

#[test]
fn each_fault_of_a_certificate_is_named_on_the_default_transport_too() {
    let fixture = Fixture::found(FixtureOptions::default());
    let link = fixture.alice.invite(BOB_EMAIL).unwrap();
    // The link names the other device, so that a claim could go on without the server.
    assert!(link.p2p);
    let payload = link.link.expose().split_once("/join/").unwrap().1.to_owned();

    let (known, unknown) = (Authority::new(), Authority::new());
    let file = fixture.path("ca.pem");
    std::fs::write(&file, known.certificate.pem()).unwrap();
    let bob = Device::start_with("bob", &fixture.path("bob"), &["--ca-file", file.to_str().unwrap()]);
    let servers = [
        (known.server(&fixture.path("good"), "127.0.0.1", GOOD), None),
        (
            unknown.server(&fixture.path("unknown"), "127.0.0.1", GOOD),
            Some(ProblemKind::CertificateUntrusted),
        ),
        (known.server(&fixture.path("name"), "other.example", GOOD), Some(ProblemKind::CertificateOfAnother)),
        (
            known.server(&fixture.path("old"), "127.0.0.1", (2020, 2021)),
            Some(ProblemKind::CertificateExpired),
        ),
        (
            known.server(&fixture.path("new"), "127.0.0.1", (2089, 2090)),
            Some(ProblemKind::CertificateNotYetValid),
        ),
        (Server::start(&fixture.path("plain"), &[]), Some(ProblemKind::ServerNotTls)),
    ];
    for (server, wanted) in servers {
        let link = format!("https://{}/join/{payload}", server.address());
        let said = bob.ctl_input(&["net", "ping", "--link-file", "-", "--json"], &link);
        let found = said.json()["servers"][0]["ping"].clone();
        let Some(wanted) = wanted else {
            assert_eq!(found["reached"], true, "{said:?}");
            continue;
        };
        assert_eq!(found["problem"]["name"], wanted.name(), "{said:?}");
        let said = bob.ctl_input(&["claim", "--json", "--link-file", "-"], &link);
        assert_eq!(said.code, i32::from(wanted.exit_code()), "{said:?}");
        assert!(said.stdout.contains(wanted.name()) && said.stdout.contains(wanted.hint()), "{said:?}");
        assert!(!said.stdout.contains("\"transport\":\"p2p\""), "it went another way: {said:?}");
    }
}

#[test]
fn a_renewed_certificate_counts_at_once_and_a_bad_one_never() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let known = Authority::new();
    let [ca, place] = ["ca.pem", "server"].map(|name| folder.path().join(name));
    std::fs::write(&ca, known.certificate.pem()).unwrap();
    let bob = Device::start_with("bob", &folder.path().join("bob"), &["--ca-file", ca.to_str().unwrap()]);
    let mut server = known.server(&place, "127.0.0.1", (2020, 2021));
    // A link of any invitation: what is asked is how the server answers.
    let fixture = Fixture::found(FixtureOptions::default());
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let payload = invitation.link.expose().split_once("/join/").unwrap().1.to_owned();
    let link = format!("https://{}/join/{payload}", server.address());
    let ping = || {
        bob.ctl_input(&["net", "ping", "--link-file", "-", "--json"], &link).json()["servers"][0]["ping"]
            .clone()
    };
    assert_eq!(ping()["problem"]["name"], ProblemKind::CertificateExpired.name());

    let [chain, key] = known.certify(&place, "127.0.0.1", GOOD);
    server.process().signal(Signal::HUP);
    logged(server.process(), "reloaded", 1);
    assert_eq!(ping()["reached"], true);

    // Half renewed, as it is between two steps of whoever renews; then damaged; then gone.
    let other = KeyPair::generate().unwrap();
    std::fs::write(&key, other.serialize_pem()).unwrap();
    for round in 1..=3 {
        server.process().signal(Signal::HUP);
        logged(server.process(), "nothing was reloaded", round);
        assert_eq!(ping()["reached"], true, "round {round}");
        match round {
            1 => std::fs::write(&chain, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
                .unwrap(),
            _ => std::fs::remove_file(&chain).unwrap_or_default(),
        }
    }
    assert!(server.process().runs());
}

#[test]
fn a_file_of_authorities_without_one_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for (text, wanted) in [
        ("this is no certificate\n", "has no certificate in it"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate number 1 in "),
    ] {
        std::fs::write(&file, text).unwrap();
        let configuration = folder.path().join("parsecd.toml");
        std::fs::write(&configuration, format!("ca_file = {file:?}\n")).unwrap();
        for (option, path) in [("--ca-file", &file), ("--config", &configuration)] {
            let mut command = daemon();
            command.arg(option).arg(path).arg("--data-dir").arg(folder.path().join("data"));
            command.env("XDG_RUNTIME_DIR", folder.path()).env("HOME", folder.path());
            // One that comes up all the same is an answer, too, and not waited for.
            match launch(command, &folder.path().join("log")) {
                Launched::Refused { code: 78, said } => assert!(said.contains(wanted), "{said}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Answers everything in the server's place.
struct Portal(u16, &'static [&'static str]);

impl Meddler for Portal {
    fn answer(&self, _: &Request, answer: &mut Answer) -> Fate {
        answer.status = self.0;
        answer.headers = self.1.iter().map(|&header| header.to_owned()).collect();
        answer.body = b"<html>log in</html>".to_vec();
        Fate::Pass
    }
}

#[test]
fn what_answers_in_a_servers_place_is_not_called_dishonest() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let link = invitation.link.expose();
    for (status, headers, wanted) in [
        (
            302,
            &["location: https://login.wifi.example/?who=you", "content-type: text/html"][..],
            "pointing to login.wifi.example",
        ),
        (200, &["content-type: text/html"], "status 200, type text/html"),
        (403, &[], "status 403"),
        (404, &["content-type: text/plain"], "another web server"),
        (407, &[], "status 407"),
    ] {
        fixture.proxy.meddle(Arc::new(Portal(status, headers)));
        let problem = ProblemKind::NotAServer;
        let said = bob.ctl_input(&["claim", "--json", "--link-file", "-"], link);
        assert_eq!(said.code, i32::from(problem.exit_code()), "{status}: {said:?}");
        assert!(said.stdout.contains(problem.name()) && said.stdout.contains(wanted), "{status}: {said:?}");
        assert!(!said.stdout.contains("who=you"), "{said:?}");
        for command in [&["net", "ping", "--json"][..], &["doctor", "--json"], &["trust", "verify", "--json"]]
        {
            let said = fixture.alice.ctl(command);
            assert_ne!(said.code, 76, "{command:?} {status}: {said:?}");
            assert!(said.stdout.contains(wanted), "{command:?} {status}: {said:?}");
        }
        let refused = fixture.alice.invite_by("carol@acme.example", TransportChoice::Server).unwrap_err();
        assert_eq!(refused.name(), Some(problem), "{status}");
    }
    // In the middle of a ceremony it ends nothing: somebody logs in, and it goes on.
    fixture.proxy.meddle(Arc::new(Honest));
    let bell = Arc::new(Bell::default());
    let claimer = bob.claim(link, &bell).unwrap();
    claimer.stage(Stage::WaitingForPeer).unwrap();
    fixture.proxy.meddle(Arc::new(Portal(200, &["content-type: text/html"])));
    let greeter = fixture.alice.greet(invitation.token, &bell).unwrap();
    let named =
        |view: &CeremonyView| view.note.as_ref().is_some_and(|note| note.contains("no Parsec server"));
    greeter.until("the log-in page is named", named).unwrap();
    fixture.proxy.meddle(Arc::new(Honest));
    claimer.code_to_say().unwrap();
}

//! The invitation's mail, through real mail servers: encrypted, authenticated, with a link that
//! works; and an invitation that does not need them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use parsec_protocol::control::{ChoiceMode, DeviceSelector, InviteResult, InviteUser, method};
use parsec_tests::ceremony::Bell;
use parsec_tests::device::{Device, Founding, private_folder};
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_EMAIL};
use parsec_tests::letter::{Form, forms};
use parsec_tests::process::Process;
use parsec_tests::ready::Ready;
use parsec_tests::script::{self, Phone};
use parsec_tests::server::Server;
use parsec_tests::{installed, skip};

/// Alice, at a server with these options, in a folder of its own.
fn alice_with(folder: &Path, options: &[&str]) -> (Server, Device) {
    let server = Server::start(&folder.join("server"), options);
    let token = server.reserve("acme");
    let alice = Device::start("alice", &folder.join("alice"));
    alice
        .found(&Founding {
            server: &server.url(),
            organisation: "acme",
            token: &token,
            email: "alice@acme.example",
            name: "Alice",
            label: "desktop",
            password: ALICE_PASSWORD,
            typed_codes: false,
        })
        .unwrap();
    (server, alice)
}

fn invite_by_mail(alice: &Device) -> InviteResult {
    let email = BOB_EMAIL.parse().unwrap();
    let parameters =
        InviteUser { select: DeviceSelector::default(), email, days: None, mail: true, transport: None };
    alice.call(method::INVITE_USER, parameters).unwrap()
}

/// The link in a mail's text; the other form has it too, as its one link.
fn link_in(mail: &str) -> String {
    let [text, html]: [Form; 2] = forms(mail).try_into().unwrap();
    let links: Vec<_> = text.content.lines().filter(|line| line.contains("/join/")).collect();
    let [link] = links[..] else { panic!("one link in {}", text.content) };
    assert!(html.content.contains(&format!("href=\"{link}\"")), "{}", html.content);
    link.to_owned()
}

/// Bob joins with what he found in his mail.
fn joins_with(folder: &Path, alice: &Device, invitation: &InviteResult, link: &str) {
    assert_eq!(link, invitation.link.expose());
    let bob = Device::start("bob", &folder.join("bob"));
    let bell = Arc::new(Bell::default());
    let mut claimer = bob.claim(link, &bell).unwrap();
    let mut greeter = alice.greet(invitation.token, &bell).unwrap();
    let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone { mode: ChoiceMode::Picked });
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
}

/// A Python that has aiosmtpd, from the folder that .ci/run fills.
fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("target/venv/bin/python");
    let has = Command::new(&python).args(["-c", "import aiosmtpd, trustme"]).output();
    has.is_ok_and(|output| output.status.success()).then_some(python)
}

/// A mail server that demands STARTTLS and this password, the folder where mails arrive, and the
/// file with its address.
fn smtp(python: &Path, folder: &Path, password: &str) -> (Process, PathBuf, PathBuf) {
    let mail = folder.join("mail");
    private_folder(&mail);
    std::fs::write(mail.join("password"), format!("{password}\n")).unwrap();
    let ready = Ready::new(&mail.join("ready"));
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/mail/smtp.py")).arg(&mail);
    let mut process = Process::start("smtp.py", command, &folder.join("smtp.log"));
    let port = ready.wait(&mut process).trim().to_owned();
    let url = folder.join("smtp-url");
    std::fs::write(&url, format!("smtp://parsec:{}@localhost:{port}\n", password.replace(' ', "%20")))
        .unwrap();
    (process, mail, url)
}

#[test]
fn mail_goes_encrypted_and_authenticated_and_its_link_works() {
    let Some(python) = python() else {
        skip("mail over SMTP", "target/venv has no aiosmtpd and trustme; .ci/run installs them");
        return;
    };
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let (mut smtp, mail, url) = smtp(&python, folder.path(), "kestrel over the barn");
    let ca = mail.join("ca.pem");
    let options = [
        "--smtp-url-file",
        url.to_str().unwrap(),
        "--smtp-ca",
        ca.to_str().unwrap(),
        "--mail-from",
        "Parsec <parsec@acme.example>",
    ];
    let (server, alice) = alice_with(folder.path(), &options);
    let arrives = Ready::new(&mail.join("mail-1.eml"));
    let invitation = invite_by_mail(&alice);
    assert_eq!(invitation.mail, "sent", "{}", server.log());
    let text = arrives.wait(&mut smtp);
    assert!(text.contains(&format!("parsec@acme.example -> {BOB_EMAIL}")), "{text}");
    joins_with(folder.path(), &alice, &invitation, &link_in(&text));

    // A mail server that is gone, and one whose certificate nobody vouches for, cost the mail and
    // not the invitation.
    smtp.stop();
    let email = "carol@acme.example".parse().unwrap();
    let parameters =
        InviteUser { select: DeviceSelector::default(), email, days: None, mail: true, transport: None };
    let invitation: InviteResult = alice.call(method::INVITE_USER, parameters).unwrap();
    assert_eq!(invitation.mail, "waiting");
    let log = server.log();
    for secret in [invitation.link.expose(), "kestrel"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_mail_server_that_nobody_vouches_for_gets_nothing() {
    let Some(python) = python() else {
        skip(
            "mail over SMTP, unknown authority",
            "target/venv has no aiosmtpd and trustme; .ci/run installs them",
        );
        return;
    };
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let (_smtp, mail, url) = smtp(&python, folder.path(), "kestrel");
    let (_server, alice) = alice_with(folder.path(), &["--smtp-url-file", url.to_str().unwrap()]);
    assert_eq!(invite_by_mail(&alice).mail, "waiting");
    assert!(!mail.join("mail-1.eml").exists());
}

#[test]
fn a_real_mail_transfer_agent_delivers_it() {
    const NAME: &str = "a_real_mail_transfer_agent_delivers_it";
    let Some(python) = python() else {
        skip(NAME, "target/venv has no trustme; .ci/run installs it");
        return;
    };
    if !installed("postfix") || !rustix::process::getuid().is_root() {
        skip(NAME, "this takes root and the package postfix");
        return;
    }
    // Not in a private folder: postfix delivers as its own user.
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mail = folder.path().join("mail");
    private_folder(&mail);
    let ready = Ready::new(&mail.join("ready"));
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/mail/postfix.py")).arg(&mail);
    let mut postfix = Process::start("postfix.py", command, &folder.path().join("postfix.log"));
    let port = ready.wait(&mut postfix).trim().to_owned();
    let url = folder.path().join("smtp-url");
    std::fs::write(&url, format!("smtp://localhost:{port}\n")).unwrap();
    let ca = mail.join("ca.pem");
    let options = ["--smtp-url-file", url.to_str().unwrap(), "--smtp-ca", ca.to_str().unwrap()];
    let (server, alice) = alice_with(folder.path(), &options);
    let new = mail.join("mail").join("new");
    let arrives = Ready::anything_in(&new);
    let invitation = invite_by_mail(&alice);
    assert_eq!(invitation.mail, "sent", "{}", server.log());
    let text = arrives.first(&mut postfix);
    joins_with(folder.path(), &alice, &invitation, &link_in(&text));
    assert!(postfix.stop().success());
}

#[test]
fn without_a_mail_server_mail_is_written_or_said_to_be_missing() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let mail = folder.path().join("mail");
    private_folder(&mail);
    let (_server, alice) = alice_with(folder.path(), &["--mail-directory", mail.to_str().unwrap()]);
    let invitation = invite_by_mail(&alice);
    assert_eq!(invitation.mail, "written");
    let written = std::fs::read_dir(&mail).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    let text = std::fs::read_to_string(written).unwrap();
    joins_with(folder.path(), &alice, &invitation, &link_in(&text));

    let other = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let (_server, alice) = alice_with(other.path(), &[]);
    assert_eq!(invite_by_mail(&alice).mail, "not_configured");
}

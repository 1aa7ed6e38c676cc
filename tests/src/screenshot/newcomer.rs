//! Pictures of what a newcomer meets first: the invitation's mail in both its forms, and the page
//! behind its link, wide and narrow, light and dark.
//!
//! Decides what is offered to them in tests, and how a mail program shows a mail. Refuses to draw
//! anything but what the real server has sent, in a real browser.

use std::path::{Path, PathBuf};

use parsec_protocol::control::{DeviceSelector, InviteResult, InviteUser, method};

use crate::browser::{Browser, Window};
use crate::device::{Device, Founding, private_folder};
use crate::fixture::{ALICE_PASSWORD, BOB_EMAIL};
use crate::letter::{Form, forms};
use crate::server::Server;

/// Packages that a newcomer is offered in tests and pictures.
pub const OFFERED: [&str; 3] = ["parsec_0.1.0_amd64.deb", "parsec_0.1.0_arm64.deb", "parsec-0.1.0.tar.gz"];
/// A screen beside a keyboard.
pub const WIDE: Window = Window { width: 1_000, height: 800, dark: false };
/// A small phone.
pub const NARROW: Window = Window { width: 320, height: 640, dark: false };
/// What stands behind the `#` of a link: the invitation, here of nobody.
pub const PAYLOAD: &str = "hQEAUC2tL-mfCPCu7ZrSQyBgTIpYIK78mavWwMZdS_dqk5_wywE4rOMMtp4Z53mDA3RIlsWNgA";

/// A folder with files of those names.
#[must_use]
pub fn offered(folder: &Path) -> PathBuf {
    let offered = folder.join("offered");
    std::fs::create_dir_all(&offered).unwrap();
    for name in OFFERED {
        std::fs::write(offered.join(name), "no package").unwrap();
    }
    offered
}

/// A server with a certificate that nobody vouches for, and these options besides.
#[must_use]
pub fn encrypted_server(folder: &Path, options: &[&str]) -> Server {
    private_folder(folder);
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| folder.join(name));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.key_pair.serialize_pem()).unwrap();
    let tls = ["--tls-certificate", chain.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    Server::start(folder, &[&tls[..], options].concat())
}

/// The mail by which this inviter invites Bob, as the server with these options, in `folder`, sends
/// it; and the link in it.
///
/// # Panics
/// If it is not written.
#[must_use]
pub fn mail(folder: &Path, inviter: &str, options: &[&str]) -> (String, String) {
    let mails = folder.join("mails");
    private_folder(&mails);
    let options = [&["--mail-directory", mails.to_str().unwrap()][..], options].concat();
    let server = Server::start(&folder.join("server"), &options);
    let alice = Device::start("alice", &folder.join("alice"));
    let founding = Founding {
        server: &server.url(),
        organisation: "acme",
        token: &server.reserve("acme"),
        email: inviter,
        name: "Alice",
        label: "desktop",
        password: ALICE_PASSWORD,
        typed_codes: false,
    };
    alice.found(&founding).unwrap();
    let email = BOB_EMAIL.parse().unwrap();
    let asked =
        InviteUser { select: DeviceSelector::default(), email, days: None, mail: true, transport: None };
    let invitation: InviteResult = alice.call(method::INVITE_USER, asked).unwrap();
    assert_eq!(invitation.mail, "written", "{}", server.log());
    let written = std::fs::read_dir(&mails).unwrap().next().unwrap().unwrap().path();
    (std::fs::read_to_string(written).unwrap(), invitation.link.expose().to_owned())
}

/// Files in `folder` by which a browser shows a mail's two forms: the text as mail programs show
/// text, the HTML as it is.
#[must_use]
pub fn shown(folder: &Path, mail: &str) -> [PathBuf; 2] {
    let [text, html]: [Form; 2] = forms(mail).try_into().unwrap();
    let text = text.content.replace('&', "&amp;").replace('<', "&lt;");
    let page = format!(
        "<!doctype html><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <body><pre style=\"white-space:pre-wrap;overflow-wrap:anywhere\">{text}</pre>"
    );
    [("text.html", page), ("html.html", html.content)].map(|(name, content)| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path
    })
}

/// Draws all pictures into a folder; returns their files.
///
/// # Panics
/// If a server or the browser doesn't do what it should.
#[must_use]
pub fn pictures(into: &Path) -> Vec<PathBuf> {
    std::fs::create_dir_all(into).unwrap();
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let offered = offered(folder.path());
    let install = ["--install-folder", offered.to_str().unwrap()];
    let server = encrypted_server(&folder.path().join("page"), &install);
    let (mail, _) = mail(folder.path(), "alice@acme.example", &install);
    let [text, html] = shown(folder.path(), &mail);
    let pages = [
        ("page", format!("https://{}/join/acme#{PAYLOAD}", server.address())),
        ("mail-text", format!("file://{}", text.display())),
        ("mail-html", format!("file://{}", html.display())),
    ];
    let dark = Window { dark: true, ..NARROW };
    let mut browser = Browser::start(&folder.path().join("browser"), None);
    let mut drawn = Vec::new();
    for (name, url) in pages {
        for (window, kind) in [(WIDE, "wide"), (NARROW, "narrow"), (dark, "dark")] {
            browser.resize(window);
            browser.open(&url);
            let path = into.join(format!("{name}-{kind}.png"));
            browser.picture(&path);
            drawn.push(path);
        }
    }
    drawn
}

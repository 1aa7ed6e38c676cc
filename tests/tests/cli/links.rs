//! Addresses of servers and links, in the real programs: what founding takes in any spelling leads
//! there from every link that is printed, however it was pasted; and what is wrong with a text that
//! holds no link is said.

use std::path::Path;

use parsec_tests::device::{Device, Founding, private_folder};
use parsec_tests::server::{NO_LIMITS, Server};
use tempfile::TempDir;

/// The same place, spelt by people.
const SPELLINGS: [&str; 5] = [
    "HTTP://127.0.0.1:0{}/",
    "http://0x7f.1:{}",
    "http://2130706433:{}/",
    "http://0177.0.0.1:{}",
    "http:\\\\127.1:{}",
];

fn place() -> (TempDir, Server) {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    private_folder(&folder.path().join("server"));
    let server = Server::start(&folder.path().join("server"), NO_LIMITS);
    (folder, server)
}

fn found(folder: &Path, server: &Server, organisation: &str, address: &str) -> Device {
    let alice = Device::start(organisation, &folder.join(organisation));
    let token = server.reserve(organisation);
    alice
        .found(&Founding {
            server: address,
            organisation,
            token: &token,
            email: "alice@example.org",
            name: "Alice",
            label: "laptop",
            password: "correct horse battery staple",
            typed_codes: false,
        })
        .unwrap();
    alice
}

#[test]
fn every_spelling_of_an_address_leads_there() {
    let (folder, server) = place();
    let bob = Device::start("bob", &folder.path().join("bob"));
    let leads_there = |number: usize, spelling: &str| {
        let address = spelling.replace("{}", &server.address().port().to_string());
        let alice = found(folder.path(), &server, &format!("org{number}"), &address);
        assert_eq!(alice.devices()[0].server, server.url(), "{address}");
        let invitation = alice.invite("bob@example.org").unwrap();
        let link = invitation.link.expose();
        assert!(link.starts_with(&format!("{}/join/", server.url())), "{link}");
        let said = bob.ctl_input(&["net", "ping", "--json", "--link-file", "-"], link);
        assert!(said.stdout.contains(&format!("\"{}\"", server.url())), "{said:?}");
        let said = bob.ctl_input(&["claim", "--detach", "--json", "--link-file", "-"], link);
        assert_eq!(said.code, 0, "{said:?}");
    };
    // Side by side: a ping waits seconds for a greeter who isn't there.
    std::thread::scope(|scope| {
        for (number, spelling) in SPELLINGS.iter().enumerate() {
            scope.spawn(move || leads_there(number, spelling));
        }
    });
}

#[test]
fn a_link_is_taken_as_it_was_pasted() {
    let (folder, server) = place();
    let alice = found(folder.path(), &server, "acme", &server.url());
    let bob = Device::start("bob", &folder.path().join("bob"));
    let invitation = alice.invite("bob@example.org").unwrap();
    let link = invitation.link.expose();
    let (bare, payload) = link.split_once('#').unwrap();
    let escaped = link.replace(':', "%3A").replace('/', "%2F").replace('#', "%23");
    let texts = [
        format!("\u{feff}<{link}>.\r\n"),
        format!("Run this:\r\n\r\n    parsecctl claim '{link}'\r\n\r\nor open {link}.\r\n"),
        format!("{bare}%23{payload}"),
        format!("{}\r\n{}\r\n", &link[..40], &link[40..]),
        format!("https://eur01.safelinks.protection.outlook.com/?url={escaped}&data=05&reserved=0"),
        link.replace("http", "HTTP"),
    ];
    std::thread::scope(|scope| {
        let (bob, server) = (&bob, &server);
        for pasted in &texts {
            scope.spawn(move || {
                let said = bob.ctl_input(&["net", "ping", "--json", "--link-file", "-"], pasted);
                assert!(said.stdout.contains(&format!("\"{}\"", server.url())), "{pasted}: {said:?}");
            });
        }
    });
    for (pasted, says) in [
        ("hello".to_owned(), "no invitation link"),
        (bare.to_owned(), "behind # is missing"),
        (link[..link.len() - 9].to_owned(), "cut off"),
        (format!("{link} {}", link.replace("/acme#", "/beta#")), "two different links"),
        (link.replace("127.0.0.1", "-a.example").replace("http", "https"), "not a host name"),
    ] {
        let said = bob.ctl_input(&["claim", "--json", "--link-file", "-"], &pasted);
        assert_eq!(said.code, 65, "{pasted}: {said:?}");
        let told = format!("{}{}", said.stdout, said.stderr);
        assert!(told.contains("link_malformed") && told.contains(says), "{pasted}: {said:?}");
    }
}

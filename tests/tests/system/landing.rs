//! What a newcomer meets first, in a real browser: the page behind the link and the mail. The
//! invitation behind the `#` reaches the `parsec:` link and the clipboard, and no network.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use parsec_protocol::enrol::link::Link;
use parsec_tests::browser::{Browser, CHROMIUM, Window};
use parsec_tests::letter::{Form, forms, head};
use parsec_tests::proxy::{Fate, Meddler, Proxy, Request};
use parsec_tests::screenshot::newcomer::{
    NARROW, OFFERED, PAYLOAD, WIDE, encrypted_server, mail, offered, shown,
};
use parsec_tests::server::Server;
use parsec_tests::{installed, ready, skip};
use rustix::process::Signal;

/// Everything that anybody sends through the proxy.
#[derive(Default)]
struct Recording(Mutex<Vec<Request>>);

impl Meddler for Recording {
    fn request(&self, request: &mut Request) -> Fate {
        self.0.lock().unwrap().push(request.clone());
        Fate::Pass
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap()
}

fn has_browser(test: &str) -> bool {
    let has = installed(CHROMIUM);
    if !has {
        skip(test, "this takes the package chromium");
    }
    has
}

#[test]
fn the_pages_button_leads_to_the_invitation_and_its_copy_is_the_link() {
    const NAME: &str = "the_pages_button_leads_to_the_invitation_and_its_copy_is_the_link";
    if !has_browser(NAME) {
        return;
    }
    let folder = folder();
    let offered = offered(folder.path());
    let mut server =
        encrypted_server(&folder.path().join("server"), &["--install-folder", offered.to_str().unwrap()]);
    let origin = format!("https://{}", server.address());
    let link = format!("{origin}/join/acme#{PAYLOAD}");
    let mut browser = Browser::start(&folder.path().join("browser"), None);
    browser.permit_clipboard(&origin);
    browser.open(&link);

    assert_eq!(browser.named("link"), ["Open in Parsec"]);
    assert_eq!(browser.named("button"), ["Copy the invitation"]);
    // A click asks the desktop for the very invitation.
    let expected = link.parse::<Link>().unwrap().to_alias().unwrap();
    assert_eq!(browser.follow("#open"), *expected);
    browser.click("#copy");
    browser.until("document.getElementById('said').textContent.startsWith('Copied')");
    assert_eq!(browser.evaluate("navigator.clipboard.readText()"), link.as_str());

    // One thing was fetched, and the server saw no more of it than that.
    let mut requests = browser.requests();
    requests.retain(|url| url != "about:blank" && !url.starts_with("parsec:"));
    assert_eq!(requests, [format!("{origin}/join/acme")]);
    ready::logged(server.process(), "route=\"landing\"", 1);
    let log = server.log();
    assert_eq!(log.matches("microseconds").count(), 1, "{log}");
    assert!(!log.contains(&PAYLOAD[..16]), "{log}");

    // What was told for a newcomer's machine can be had there.
    let page = browser.evaluate("document.body.innerText");
    for name in OFFERED {
        assert!(page.as_str().unwrap().contains(&format!("wget {origin}/install/{name}")), "{page}");
    }

    // Half a link is said to be one.
    browser.open(&format!("{origin}/join/acme#{}", &PAYLOAD[..20]));
    assert_eq!(browser.named("button"), Vec::<String>::new());
    assert_eq!(browser.named("alert").len(), 1);
}

#[test]
fn what_stands_behind_the_hash_is_sent_to_nobody() {
    const NAME: &str = "what_stands_behind_the_hash_is_sent_to_nobody";
    if !has_browser(NAME) {
        return;
    }
    let folder = folder();
    let offered = offered(folder.path());
    let server =
        Server::start(&folder.path().join("server"), &["--install-folder", offered.to_str().unwrap()]);
    let proxy = Proxy::start(server.address());
    let recording = Arc::new(Recording::default());
    proxy.meddle(Arc::clone(&recording) as Arc<dyn Meddler>);
    // Every word that the browser says to anybody goes by the recording.
    let mut browser = Browser::start(&folder.path().join("browser"), Some(&proxy.url()));
    let origin = server.url();
    browser.permit_clipboard(&origin);
    browser.open(&format!("{origin}/join/acme#{PAYLOAD}"));
    // parsec: means an encrypted server, which this one is not.
    assert_eq!(browser.named("link"), Vec::<String>::new());
    browser.click("#copy");
    browser.until("document.getElementById('said').textContent.startsWith('Copied')");
    let copied = format!("{origin}/join/acme#{PAYLOAD}");
    assert_eq!(browser.evaluate("navigator.clipboard.readText()"), copied.as_str());

    let mut asked = browser.requests();
    asked.retain(|url| url != "about:blank");
    assert_eq!(asked, [format!("{origin}/join/acme")], "the page asks nobody for anything");

    // What the page could do if it wanted to, it may not: its policy lets nothing out.
    let tried =
        browser.evaluate("fetch('/install/?' + location.hash.slice(1)).then(() => 'sent', () => 'refused')");
    assert_eq!(tried, "refused");
    let tried = browser.evaluate(
        "new Promise((done) => { const i = new Image(); i.onload = () => done('sent'); \
         i.onerror = () => done('refused'); i.src = '/install/' + location.hash.slice(1); })",
    );
    assert_eq!(tried, "refused");
    // A reader goes on to the packages: no referrer says where they come from.
    browser.evaluate(
        "const a = document.createElement('a'); a.id = 'on'; a.href = '/install/'; a.textContent = 'on'; \
         document.body.append(a); 1",
    );
    browser.go("#on");
    assert_eq!(browser.evaluate("document.title"), "Programs");

    let requests = recording.0.lock().unwrap().clone();
    let targets: Vec<_> = requests.iter().map(|request| request.target.clone()).collect();
    // The rest is the browser's own: its maker's services, which it asks without any page.
    let here: Vec<_> = targets.iter().filter(|target| target.starts_with(&origin)).collect();
    assert_eq!(here, [&format!("{origin}/join/acme"), &format!("{origin}/install/")], "{targets:?}");
    for request in requests {
        let said =
            format!("{} {:?} {}", request.target, request.headers, String::from_utf8_lossy(&request.body));
        assert!(!said.contains(&PAYLOAD[..16]), "{said}");
        assert!(!said.to_lowercase().contains("referer"), "{said}");
    }
    assert!(!server.log().contains(&PAYLOAD[..16]), "{}", server.log());
}

#[test]
fn the_page_is_whole_without_scripts_and_on_a_narrow_screen() {
    const NAME: &str = "the_page_is_whole_without_scripts_and_on_a_narrow_screen";
    if !has_browser(NAME) {
        return;
    }
    let folder = folder();
    let offered = offered(folder.path());
    let server =
        encrypted_server(&folder.path().join("server"), &["--install-folder", offered.to_str().unwrap()]);
    let link = format!("https://{}/join/acme#{PAYLOAD}", server.address());
    let mut browser = Browser::start(&folder.path().join("browser"), None);
    for window in [WIDE, NARROW, Window { dark: true, ..NARROW }] {
        browser.resize(window);
        browser.open(&link);
        assert!(browser.fits(), "{window:?}");
    }
    let ground = "getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.evaluate(ground), "rgb(22, 24, 27)");
    browser.forbid_scripts(true);
    browser.open(&link);
    assert_eq!(browser.named("button"), Vec::<String>::new());
    let said = browser.named("StaticText").join(" ");
    for words in ["Copy this page's whole address", "parsecctl claim", "four characters", "sudo apt install"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
}

/// The inviter's address is the one word of a mail that its maker chooses.
#[test]
fn a_mail_of_a_hostile_address_says_the_same_in_both_forms_and_loads_nothing() {
    const NAME: &str = "a_mail_of_a_hostile_address_says_the_same_in_both_forms_and_loads_nothing";
    const INVITER: &str = "a&lt+b'{onload=x}*/|`@acme.example";
    let folder = folder();
    let offered = offered(folder.path());
    let (mail, link) = mail(folder.path(), INVITER, &["--install-folder", offered.to_str().unwrap()]);
    let head = head(&mail);
    assert_eq!(head.iter().filter(|line| line.starts_with("Subject: ")).count(), 1, "{head:?}");
    assert!(head.contains(&"Subject: Your invitation to acme".to_owned()), "{head:?}");
    assert!(!head.iter().any(|line| line.contains("onload")), "{head:?}");

    let [text, html]: [Form; 2] = forms(&mail).try_into().unwrap();
    assert_eq!((text.media_type.as_str(), html.media_type.as_str()), ("text/plain", "text/html"));
    assert!(
        text.content.contains(&format!("{INVITER} invites you to the organisation \"acme\".")),
        "{}",
        text.content
    );
    for form in [&text.content, &html.content] {
        assert!(form.contains(&link), "{form}");
        assert!(form.contains("sudo apt install ./parsec_0.1.0_amd64.deb"), "{form}");
    }
    if !has_browser(NAME) {
        return;
    }
    let [text, html] = shown(folder.path(), &mail).map(|path| format!("file://{}", path.display()));
    let mut browser = Browser::start(&folder.path().join("browser"), None);
    for url in [&text, &html] {
        for window in [WIDE, NARROW] {
            browser.resize(window);
            browser.open(url);
            assert!(browser.fits(), "{url} {window:?}");
        }
    }
    let said = browser.evaluate("document.body.innerText");
    assert!(said.as_str().unwrap().contains(&format!("{INVITER} invites you")), "{said}");
    assert_eq!(
        browser.evaluate("document.querySelectorAll('script, img, link, iframe, form, object').length"),
        0
    );
    assert_eq!(browser.evaluate("document.querySelectorAll('a').length"), 1);
    assert_eq!(browser.evaluate("document.querySelector('a').href"), link.as_str());
    let mut requests = browser.requests();
    requests.retain(|url| *url != text && *url != html && url != "about:blank");
    assert_eq!(requests, Vec::<String>::new());
}

#[test]
fn an_administrator_is_told_that_newcomers_learn_of_no_place() {
    let folder = folder();
    let offered = offered(folder.path());
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let missing = "neither --install-folder nor --install-address is set";
    let nothing = "has no package parsec_VERSION_ARCH.deb";
    let [offered, empty] = [offered.to_str().unwrap(), empty.to_str().unwrap()];
    for (number, (options, says)) in [
        (&[][..], Some(missing)),
        (&["--install-folder", empty], Some(nothing)),
        (&["--install-folder", offered], None),
        (&["--install-address", "https://downloads.example.org/"], None),
    ]
    .into_iter()
    .enumerate()
    {
        let mut server = Server::start(&folder.path().join(number.to_string()), options);
        // Whatever there is to say has been said by then.
        ready::logged(server.process(), "listening", 1);
        let log = server.log();
        for words in [missing, nothing] {
            assert_eq!(log.contains(words), says == Some(words), "{options:?}: {log}");
        }
    }
}

/// What a server answers to one request, by its status line.
fn asked(server: &Server, target: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn where_the_programs_are_is_changed_without_a_restart_or_not_at_all() {
    let folder = folder();
    let offered = offered(folder.path());
    let settings = folder.path().join("metadata.toml");
    let of = |place: &std::path::Path| format!("install-folder = {:?}\n", place.to_str().unwrap());
    std::fs::write(&settings, "").unwrap();
    let options = ["--config", settings.to_str().unwrap()];
    let mut server = Server::start(&folder.path().join("server"), &options);
    assert_eq!(asked(&server, "/install/"), "HTTP/1.1 404 Not Found");
    std::fs::write(&settings, of(&offered)).unwrap();
    server.process().signal(Signal::HUP);
    ready::logged(server.process(), "reloaded", 1);
    assert_eq!(asked(&server, "/install/"), "HTTP/1.1 200 OK");
    // One that is not there, and one that holds the database.
    for (round, bad) in [folder.path().join("missing"), folder.path().join("server")].iter().enumerate() {
        std::fs::write(&settings, of(bad)).unwrap();
        server.process().signal(Signal::HUP);
        ready::logged(server.process(), "nothing was reloaded", round + 1);
        assert_eq!(asked(&server, &format!("/install/{}", OFFERED[0])), "HTTP/1.1 200 OK");
    }
}

//! The folder that is served under `/install/`: what is there, and nothing else of the machine.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use parsec_metadata::Install;
use rustix::fs::{CWD, Mode, mkfifoat};
use support::{Answer, Bench};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PACKAGE: &str = "parsec_0.1.0_amd64.deb";

/// Larger than a piece, and no two pieces alike.
fn package() -> Vec<u8> {
    (0..700_001_u32).flat_map(u32::to_be_bytes).take(700_001).collect()
}

async fn serving(folder: &Path) -> Bench {
    std::fs::write(folder.join(PACKAGE), package()).unwrap();
    let folder = folder.to_owned();
    Bench::with(|config| {
        config.install = Install::Folder(folder);
        config.public_url = Some("https://parsec.example.org".to_owned());
    })
    .await
}

async fn get(bench: &Bench, target: &str) -> Answer {
    bench.call("GET", target, &Vec::new(), b"").await
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        (found == name).then_some(value)
    })
}

#[tokio::test]
async fn a_package_comes_whole_and_as_a_download() {
    let folder = tempfile::tempdir().unwrap();
    let bench = serving(folder.path()).await;
    let target = format!("/install/{PACKAGE}");
    let answer = get(&bench, &target).await;
    assert_eq!((answer.status, answer.body.len()), (200, package().len()));
    assert!(answer.body == package(), "the bytes differ");
    for (name, value) in [
        ("content-type", "application/vnd.debian.binary-package"),
        ("content-length", "700001"),
        ("content-disposition", "attachment"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(header(&answer, name), Some(value), "{}", answer.head);
    }

    let head = bench.call("HEAD", &target, &Vec::new(), b"").await;
    assert_eq!((head.status, header(&head, "content-length"), head.body.len()), (200, Some("700001"), 0));
    // A reader who has it is told so, and only as long as it is the same.
    let known = vec![("if-none-match", header(&answer, "etag").unwrap().to_owned())];
    let again = bench.call("GET", &target, &known, b"").await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    std::fs::write(folder.path().join(PACKAGE), b"another").unwrap();
    let again = bench.call("GET", &target, &known, b"").await;
    assert_eq!((again.status, again.body.as_slice()), (200, &b"another"[..]));
}

#[tokio::test]
async fn nothing_but_what_is_offered_leaves_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.deb"), "SECRET").unwrap();
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("offered");
    std::fs::create_dir(&folder).unwrap();
    let bench = serving(&folder).await;
    std::fs::write(parent.path().join("above.deb"), "SECRET").unwrap();
    for kept in ["key.pem", "db.sqlite", ".hidden.deb", "page.html", "a\u{202e}bed.deb", "<b>.deb"] {
        std::fs::write(folder.join(kept), "SECRET").unwrap();
    }
    symlink(outside.path().join("secret.deb"), folder.join("link.deb")).unwrap();
    std::fs::create_dir(folder.join("folder.deb")).unwrap();
    // One that would be waited for without end.
    mkfifoat(CWD, folder.join("pipe.deb"), Mode::RUSR | Mode::WUSR).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket.deb")).unwrap();

    for target in [
        "/install/../above.deb",
        "/install/..%2fabove.deb",
        "/install/%2e%2e/above.deb",
        "/install//etc/passwd",
        "/install/key.pem",
        "/install/db.sqlite",
        "/install/.hidden.deb",
        "/install/page.html",
        "/install/link.deb",
        "/install/folder.deb",
        "/install/pipe.deb",
        "/install/socket.deb",
        "/install/missing.deb",
        "/install/%3Cb%3E.deb",
    ] {
        let answer = get(&bench, target).await;
        assert_eq!(answer.status, 404, "{target}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("SECRET"), "{target}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let answer = bench.call(method, &format!("/install/{PACKAGE}"), &Vec::new(), b"x").await;
        assert_eq!(answer.status, 404, "{method}");
    }
    // The list, and what the landing page names, are of the same files.
    let list = String::from_utf8(get(&bench, "/install/").await.body).unwrap();
    assert_eq!(list.matches("<li>").count(), 1, "{list}");
    assert!(list.contains(&format!("href=\"/install/{PACKAGE}\"")), "{list}");
    let page = String::from_utf8(get(&bench, "/join/acme").await.body).unwrap();
    assert!(page.contains(&format!("sudo apt install ./{PACKAGE}")), "{page}");
    assert!(page.contains(&format!("wget https://parsec.example.org/install/{PACKAGE}")), "{page}");
}

#[tokio::test]
async fn a_server_without_a_folder_has_nothing_there() {
    let bench = Bench::start().await;
    for target in ["/install/", "/install/parsec_0.1.0_amd64.deb"] {
        assert_eq!(get(&bench, target).await.status, 404, "{target}");
    }
    let page = String::from_utf8(get(&bench, "/join/acme").await.body).unwrap();
    assert!(page.contains("Whoever invited you can tell you where to get them"), "{page}");

    let bench = Bench::with(|config| {
        config.install = Install::Address("https://downloads.example.org/parsec/".to_owned());
    })
    .await;
    let page = String::from_utf8(get(&bench, "/join/acme").await.body).unwrap();
    assert!(page.contains("href=\"https://downloads.example.org/parsec/\""), "{page}");
}

/// A package that is replaced while somebody fetches it: they must not get half of each.
#[tokio::test]
async fn a_file_that_changes_under_its_reader_ends_short() {
    let folder = tempfile::tempdir().unwrap();
    let bench = serving(folder.path()).await;
    let path = folder.path().join(PACKAGE);
    // Far more than the buffers between the two hold, so that the server can't have read it all.
    let size = 64 * 1024 * 1024;
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    let request = support::head("GET", &format!("/install/{PACKAGE}"), &Vec::new(), 0);
    stream.write_all(&request).await.unwrap();
    let mut first = vec![0; 4_096];
    stream.read_exact(&mut first).await.unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(10)).unwrap();
    let mut rest = Vec::new();
    // Cut off, by an error or by an end before its time.
    let _ = stream.read_to_end(&mut rest).await;
    let read = u64::try_from(first.len() + rest.len()).unwrap();
    assert!(read < size, "{read}");
    assert_eq!(get(&bench, "/v1/health").await.status, 204);
}

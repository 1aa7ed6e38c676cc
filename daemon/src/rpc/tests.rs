//! The socket as a whole: who gets in, what a client may cost, how serving ends.

use std::fs;
use std::io::{IoSlice, Read as _, Seek as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::{RpcModule, SubscriptionSink};
use parsec_protocol::control::{LINE_MAX_BYTES, Problem};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::connection::{IN_FLIGHT_MAX, SUBSCRIPTIONS_MAX};
use super::connection_limits::PROCESS_MAX;
use super::outgoing::OUTGOING_MAX_BYTES;
use super::*;

/// What the methods of the test share with it.
#[derive(Default)]
struct Bench {
    entered: Notify,
    release: Notify,
    ended: Notify,
}

fn module(bench: Arc<Bench>) -> RpcModule<Arc<Bench>> {
    let mut module = RpcModule::new(bench);
    module
        .register_method("echo", |params, _, _| {
            params.parse::<Value>().map_err(|_| ErrorObjectOwned::owned(1, "no", None::<()>))
        })
        .unwrap();
    module.register_method("large", |_, _, _| "x".repeat(LINE_MAX_BYTES)).unwrap();
    module.register_method("half", |_, _, _| "x".repeat(LINE_MAX_BYTES / 2)).unwrap();
    module
        .register_async_method("wait", |_, bench, _| async move {
            bench.entered.notify_one();
            bench.release.notified().await;
            "waited"
        })
        .unwrap();
    module.register_async_method("panic", |_, _, _| async { panic_now() }).unwrap();
    module
        .register_method("file", |_, _, extensions| {
            let mut text = String::new();
            fs::File::from(methods::file(extensions)?).read_to_string(&mut text).unwrap();
            Ok::<_, ErrorObjectOwned>(text)
        })
        .unwrap();
    module
        .register_subscription("watch", "changed", "unwatch", |_, pending, bench, _| async move {
            let sink: SubscriptionSink = pending.accept().await?;
            sink.send(serde_json::value::to_raw_value("first").unwrap()).await?;
            sink.closed().await;
            bench.ended.notify_one();
            Ok(())
        })
        .unwrap();
    module
        .register_subscription("flood", "flooded", "unflood", |_, pending, bench, _| async move {
            let sink: SubscriptionSink = pending.accept().await?;
            let large = "y".repeat(LINE_MAX_BYTES / 2);
            while sink.send(serde_json::value::to_raw_value(&large).unwrap()).await.is_ok() {}
            bench.ended.notify_one();
            Ok(())
        })
        .unwrap();
    module
}

/// Lets everybody do everything.
struct Open;

impl Authorize for Open {
    fn admit<'a>(&'a self, _: &'a client::Client, _: &'a str) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn takes_file(&self, method: &str) -> bool {
        method == "file"
    }
}

fn panic_now() -> &'static str {
    panic!("a bug in a method")
}

struct Served {
    folder: tempfile::TempDir,
    bench: Arc<Bench>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    fn start() -> Self {
        Self::start_with(Timeouts::default())
    }

    fn start_with(timeouts: Timeouts) -> Self {
        // Whatever the umask is just now, which another test of this program may be trying.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let folder = tempfile::Builder::new().permissions(private).tempdir().unwrap();
        let listener = Listener::bind(&socket_in(folder.path())).unwrap();
        let bench = Arc::new(Bench::default());
        let stop = CancellationToken::new();
        let mut service = Service::new(module(Arc::clone(&bench)), Open);
        service.timeouts = timeouts;
        let task = tokio::spawn(service.serve(vec![(Socket::User, listener)], stop.clone()));
        Self { folder, bench, stop, task }
    }

    fn path(&self) -> PathBuf {
        socket_in(self.folder.path())
    }

    async fn client(&self) -> Client {
        Client(BufReader::new(UnixStream::connect(self.path()).await.unwrap()))
    }
}

fn socket_in(folder: &Path) -> PathBuf {
    folder.join("parsecd").join("parsecd.sock")
}

struct Client(BufReader<UnixStream>);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn call(&mut self, id: u32, method: &str) {
        self.send(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":[{id}]}}\n"
        ))
        .await;
    }

    async fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.0.read_line(&mut line).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap_or(Value::String(line))),
        }
    }

    async fn error(&mut self) -> String {
        let line = self.line().await.unwrap();
        assert!(line["error"]["code"].is_i64(), "{line}");
        line["error"]["data"]["name"].as_str().unwrap().to_owned()
    }

    /// Whether the daemon has closed the connection, after whatever it still sent.
    async fn closed(&mut self) {
        let mut rest = Vec::new();
        // A reset counts: it comes when bytes of ours were left unread.
        let _ = self.0.read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn requests_are_answered_side_by_side() {
    let served = Served::start();
    let (mut one, mut two) = (served.client().await, served.client().await);
    one.call(1, "wait").await;
    served.bench.entered.notified().await;
    one.call(2, "echo").await;
    assert_eq!(one.line().await.unwrap()["result"], serde_json::json!([2]));
    two.call(3, "echo").await;
    assert_eq!(two.line().await.unwrap()["id"], 3);
    served.bench.release.notify_one();
    assert_eq!(one.line().await.unwrap()["result"], "waited");
}

/// Whoever removes the socket's file, or its whole folder, locks everybody out for a moment and no
/// longer; connections stay.
#[tokio::test(start_paused = true)]
async fn a_socket_that_was_removed_is_made_again() {
    let served = Served::start();
    let mut before = served.client().await;
    let path = served.path();
    let folder = path.parent().unwrap().to_owned();
    let removals: [&dyn Fn(); 3] =
        [&|| fs::remove_file(&path).unwrap(), &|| fs::remove_dir_all(&folder).unwrap(), &|| {
            fs::rename(&folder, folder.with_extension("elsewhere")).unwrap()
        }];
    for remove in removals {
        remove();
        while !path.exists() {
            tokio::time::advance(NAME_LOOKED_AT).await;
        }
        let mode = path.symlink_metadata().unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
        served.client().await.call(1, "echo").await;
    }
    before.call(2, "echo").await;
    assert_eq!(before.line().await.unwrap()["id"], 2);
    // What somebody else put there stays theirs.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    for _ in 0..3 {
        tokio::time::advance(NAME_LOOKED_AT).await;
        // What is answered now was asked after the look.
        before.call(9, "echo").await;
        assert_eq!(before.line().await.unwrap()["id"], 9);
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
    while !path.exists() {
        tokio::time::advance(NAME_LOOKED_AT).await;
    }
    served.client().await.call(3, "echo").await;
    served.stop.cancel();
    served.task.await.unwrap();
    assert!(!path.exists());
}

/// C7. A bug in a method is an answer to who asked, and nothing to anybody else: requests under way
/// on the same connection and on others.
#[tokio::test]
async fn a_method_that_fails_costs_its_own_request_alone() {
    let served = Served::start();
    let (mut one, mut two) = (served.client().await, served.client().await);
    one.call(1, "wait").await;
    served.bench.entered.notified().await;
    for id in 0..100 {
        let (asking, other) = if id % 2 == 0 { (&mut one, &mut two) } else { (&mut two, &mut one) };
        asking.call(id, "panic").await;
        assert_eq!(asking.error().await, "internal");
        other.call(id, "echo").await;
        assert_eq!(other.line().await.unwrap()["id"], id);
    }
    served.bench.release.notify_one();
    assert_eq!(one.line().await.unwrap()["result"], "waited");
    println!("figure C7: 100 methods that failed: each told so, 101 other requests answered");
}

#[tokio::test]
async fn what_is_no_request_gets_an_error_and_the_next_an_answer() {
    let served = Served::start();
    let mut client = served.client().await;
    let wrong = [
        "{\n",
        "{}\n",
        "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"echo\"}\n",
        "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"echo\"}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}{}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"echo\"}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"extra\":1}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":1e999,\"method\":\"echo\"}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":NaN,\"method\":\"echo\"}\n",
    ];
    for text in wrong {
        client.send(text).await;
        assert_eq!(client.error().await, "invalid_request", "{text}");
    }
    client.call(1, "nothing").await;
    assert_eq!(client.error().await, "unknown_method");
    client.send(&format!("{{\"a\":{}\n", "[".repeat(50_000))).await;
    assert_eq!(client.error().await, "invalid_request");
    client.call(2, "panic").await;
    assert_eq!(client.error().await, "internal");
    client.call(3, "large").await;
    assert_eq!(client.error().await, "too_large");
    client.call(4, "echo").await;
    assert_eq!(client.line().await.unwrap()["id"], 4);
}

/// The refusal must not send back what was in the line: it may be logged by a client, and the line
/// may hold a password.
#[tokio::test]
async fn a_refusal_does_not_quote() {
    let served = Served::start();
    let mut client = served.client().await;
    client.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7,\"params\":\"hunter2\",\"hunter2\":\n").await;
    assert!(!client.line().await.unwrap().to_string().contains("hunter2"));
    client.send("{\"jsonrpc\":\"hunter2\",\"id\":1,\"method\":\"echo\"}\n").await;
    assert!(!client.line().await.unwrap().to_string().contains("hunter2"));
}

#[tokio::test]
async fn giant_lines_batches_and_http_end_the_connection() {
    let served = Served::start();
    let mut client = served.client().await;
    // The daemon stops reading at its limit, so not all of this can be written.
    let (reader, mut writer) = client.0.get_mut().split();
    let giant = vec![b'x'; 2 * LINE_MAX_BYTES];
    let mut reader = BufReader::new(reader);
    let mut answer = String::new();
    let write = async {
        let _ = writer.write_all(b"{").await;
        let _ = writer.write_all(&giant).await;
    };
    let _ = tokio::join!(write, reader.read_line(&mut answer));
    assert!(answer.contains("too_large"), "{answer}");
    for (text, expected) in
        [("[{}]", "invalid_request"), ("\x16\x03", "invalid_request"), ("null", "invalid_request")]
    {
        let mut client = served.client().await;
        client.send(text).await;
        assert_eq!(client.error().await, expected);
        client.closed().await;
    }
    for text in [
        "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n",
        "POST /",
        "PRI * HTTP/2.0\r\n",
    ] {
        let mut client = served.client().await;
        client.send(text).await;
        let answer = client.line().await.unwrap();
        assert!(answer.as_str().unwrap().contains("does not speak HTTP"), "{answer}");
        client.closed().await;
    }
    let mut client = served.client().await;
    client.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"meth").await;
    drop(client);
    let mut client = served.client().await;
    client.call(1, "echo").await;
    assert_eq!(client.line().await.unwrap()["id"], 1);
}

#[tokio::test]
async fn a_client_that_only_writes_its_last_line_gets_its_answers() {
    let served = Served::start();
    let mut client = served.client().await;
    client.call(1, "wait").await;
    client.call(2, "watch").await;
    client.0.get_mut().shutdown().await.unwrap();
    served.bench.entered.notified().await;
    served.bench.release.notify_one();
    let mut rest = String::new();
    client.0.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("\"waited\"") && rest.contains("\"id\":2"), "{rest}");
    // And the subscription does not outlive it.
    served.bench.ended.notified().await;
}

#[tokio::test]
async fn subscriptions_notify_and_end_with_the_connection() {
    let served = Served::start();
    let mut client = served.client().await;
    client.call(1, "watch").await;
    let id = client.line().await.unwrap()["result"].clone();
    let first = client.line().await.unwrap();
    assert_eq!((&first["method"], &first["params"]["result"]), (&"changed".into(), &"first".into()));
    assert_eq!(first["params"]["subscription"], id);
    client
        .send(&format!("{{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"unwatch\",\"params\":[{id}]}}\n"))
        .await;
    assert_eq!(client.line().await.unwrap()["result"], true);
    served.bench.ended.notified().await;
    client.call(3, "watch").await;
    client.line().await.unwrap();
    drop(client);
    served.bench.ended.notified().await;
}

#[tokio::test]
async fn a_line_that_does_not_end_and_a_client_that_does_nothing_are_cut_off() {
    let short = std::time::Duration::from_millis(50);
    let served = Served::start_with(Timeouts { line: short, idle: 4 * short });
    let mut slow = served.client().await;
    let (mut idle, mut watching) = (served.client().await, served.client().await);
    watching.call(1, "watch").await;
    watching.line().await.unwrap();
    watching.line().await.unwrap();
    slow.send("{\"jsonrpc\":").await;
    assert_eq!(slow.error().await, "invalid_request");
    slow.closed().await;
    idle.closed().await;
    watching.call(2, "echo").await;
    assert_eq!(watching.line().await.unwrap()["id"], 2);
}

#[tokio::test]
async fn a_million_notifications_are_refused_at_the_limit() {
    let served = Served::start();
    let mut client = served.client().await;
    let (reader, mut writer) = client.0.get_mut().split();
    let flood = "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}\n".repeat(1_000_000);
    let mut answers = String::new();
    let mut reader = BufReader::new(reader);
    let write = async { writer.write_all(flood.as_bytes()).await.is_err() };
    let read = reader.read_to_string(&mut answers);
    let (cut, _) = tokio::join!(write, read);
    assert!(cut, "all of it was taken");
    assert!(answers.lines().count() <= 32, "{}", answers.lines().count());
}

/// The library keeps the subscriptions of all connections in one place, under one number.
#[tokio::test]
async fn nobody_ends_the_subscription_of_another() {
    let served = Served::start();
    let (mut one, mut two) = (served.client().await, served.client().await);
    one.call(1, "watch").await;
    let id = one.line().await.unwrap()["result"].clone();
    one.line().await.unwrap();
    let end = format!("{{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"unwatch\",\"params\":[{id}]}}\n");
    two.send(&end).await;
    assert_eq!(two.line().await.unwrap()["result"], false);
    one.send(&end).await;
    assert_eq!(one.line().await.unwrap()["result"], true);
    served.bench.ended.notified().await;
    one.send(&end).await;
    assert_eq!(one.line().await.unwrap()["result"], false);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_alone() {
    let served = Served::start();
    let mut greedy = served.client().await;
    for id in 0..u32::try_from(2 * OUTGOING_MAX_BYTES / LINE_MAX_BYTES + 8).unwrap() * 2 {
        // Fails once the daemon has closed the connection.
        let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"half\"}}\n");
        if greedy.0.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut other = served.client().await;
    other.call(1, "echo").await;
    assert_eq!(other.line().await.unwrap()["id"], 1);
    let mut rest = Vec::new();
    let _ = greedy.0.read_to_end(&mut rest).await;
    assert!(rest.len() <= OUTGOING_MAX_BYTES + LINE_MAX_BYTES, "{}", rest.len());
}

#[tokio::test]
async fn a_subscription_waits_for_its_client_and_leaves_room_for_answers() {
    let served = Served::start();
    let mut slow = served.client().await;
    slow.call(1, "flood").await;
    assert_eq!(slow.line().await.unwrap()["id"], 1);
    slow.call(2, "echo").await;
    let mut before = 0;
    loop {
        let line = slow.line().await.expect("the connection stays");
        if line["id"] == 2 {
            break;
        }
        before += 1;
    }
    // What the connection and the socket hold, and what the source had ready; the flood itself
    // never ends.
    assert!(before < 32, "{before} before the answer");
    for _ in 0..32 {
        assert_eq!(slow.line().await.unwrap()["method"], "flooded");
    }
    drop(slow);
    served.bench.ended.notified().await;
}

#[tokio::test]
async fn one_client_has_so_many_requests_and_subscriptions_and_no_more() {
    let served = Served::start();
    let mut client = served.client().await;
    for id in 0..IN_FLIGHT_MAX {
        client.call(u32::try_from(id).unwrap(), "wait").await;
        served.bench.entered.notified().await;
    }
    // Not read yet: the answer to it comes after one of those before it.
    client.call(99, "echo").await;
    served.bench.release.notify_one();
    assert_eq!(client.line().await.unwrap()["result"], "waited");
    assert_eq!(client.line().await.unwrap()["id"], 99);

    let mut client = served.client().await;
    for id in 0..SUBSCRIPTIONS_MAX {
        client.call(u32::try_from(id).unwrap(), "watch").await;
        client.line().await.unwrap();
        client.line().await.unwrap();
    }
    client.call(99, "watch").await;
    assert_eq!(client.error().await, "invalid_request");
}

#[tokio::test]
async fn so_many_clients_and_no_more() {
    let served = Served::start();
    let mut clients = Vec::new();
    for _ in 0..PROCESS_MAX {
        let mut client = served.client().await;
        client.call(1, "echo").await;
        client.line().await.unwrap();
        clients.push(client);
    }
    let mut over = served.client().await;
    assert_eq!(over.line().await.unwrap()["error"]["code"], -32009);
    over.closed().await;
    let mut last = clients.pop().unwrap();
    last.call(2, "echo").await;
    assert_eq!(last.line().await.unwrap()["id"], 2);
}

#[tokio::test]
async fn stopping_answers_what_is_under_way() {
    let served = Served::start();
    let (mut busy, mut idle) = (served.client().await, served.client().await);
    busy.call(1, "wait").await;
    idle.call(1, "watch").await;
    served.bench.entered.notified().await;
    idle.line().await.unwrap();
    served.stop.cancel();
    idle.closed().await;
    served.bench.ended.notified().await;
    served.bench.release.notify_one();
    assert_eq!(busy.line().await.unwrap()["result"], "waited");
    assert!(busy.line().await.is_none());
    let path = served.path();
    served.task.await.unwrap();
    assert!(!path.exists());
    assert!(UnixStream::connect(&path).await.is_err());
}

#[tokio::test]
async fn the_socket_and_its_folder_are_the_users_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket_in(folder.path());
    let old = rustix::process::umask(rustix::fs::Mode::empty());
    let listener = Listener::bind(&path).unwrap();
    rustix::process::umask(old);
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(mode(&path.with_file_name("parsecd.sock.lock")), 0o600);
    assert!(matches!(Listener::bind(&path), Err(AccessError::InUse(_))));
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket_in(folder.path());
    drop(Listener::bind(&path).unwrap());
    // Somebody listens without our lock.
    let live = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert!(matches!(Listener::bind(&path), Err(AccessError::InUse(_))));
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    // Dead: the file stays when its listener goes.
    drop(live);
    assert!(path.exists());
    let listener = Listener::bind(&path).unwrap();
    // A file that took the name meanwhile is not removed with the listener.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "another's").unwrap();
    drop(listener);
    assert_eq!(fs::read(&path).unwrap(), b"another's");
}

#[tokio::test]
async fn whatever_else_is_in_the_way_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket_in(folder.path());
    drop(Listener::bind(&path).unwrap());
    let target = folder.path().join("target");
    fs::write(&target, "untouched").unwrap();
    for place in [path.clone(), path.with_file_name("parsecd.sock.lock")] {
        let refused = |what: &str| {
            let refused = Listener::bind(&path);
            assert!(matches!(refused, Err(AccessError::UnsafePath { .. })), "{what}: {refused:?}");
            assert_eq!(fs::read(&target).unwrap(), b"untouched");
            assert!(fs::symlink_metadata(&place).is_ok(), "{what} was removed");
        };
        let _ = fs::remove_file(&place);
        symlink(&target, &place).unwrap();
        refused("a link");
        fs::remove_file(&place).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &place, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .unwrap();
        refused("a FIFO");
        fs::remove_file(&place).unwrap();
        fs::create_dir(&place).unwrap();
        refused("a folder");
        fs::remove_dir(&place).unwrap();
        fs::hard_link(&target, &place).unwrap();
        refused("a hard link");
        fs::remove_file(&place).unwrap();
        if rustix::process::geteuid().is_root() {
            fs::write(&place, "").unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o600)).unwrap();
            std::os::unix::fs::chown(&place, Some(65_534), None).unwrap();
            refused("another user's file");
            fs::remove_file(&place).unwrap();
        }
    }
    let parent = path.parent().unwrap();
    fs::set_permissions(parent, fs::Permissions::from_mode(0o710)).unwrap();
    assert!(matches!(Listener::bind(&path), Err(AccessError::UnsafePath { .. })));
    fs::set_permissions(parent, fs::Permissions::from_mode(0o700)).unwrap();
    let moved = folder.path().join("moved");
    fs::rename(parent, &moved).unwrap();
    symlink(&moved, parent).unwrap();
    assert!(matches!(Listener::bind(&path), Err(AccessError::UnsafePath { .. })));
    assert!(matches!(Listener::bind(&folder.path().join("no/such/s")), Err(AccessError::UnsafePath { .. })));
    let long = folder.path().join("x".repeat(120)).join("s");
    assert!(matches!(Listener::bind(&long), Err(AccessError::PathTooLong(_))));
}

/// Many at once: exactly one gets the place, every time, with a dead socket left in it.
#[tokio::test]
async fn of_many_daemons_one_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket_in(folder.path());
    let runtime = tokio::runtime::Handle::current();
    for _ in 0..200 {
        let _ = fs::create_dir_all(path.parent().unwrap());
        fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let start = std::sync::Barrier::new(4);
        let listeners: Vec<_> = std::thread::scope(|scope| {
            let bind = || {
                let _entered = runtime.enter();
                start.wait();
                Listener::bind(&path)
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(bind)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let living: Vec<_> = listeners.into_iter().filter_map(Result::ok).collect();
        assert_eq!(living.len(), 1);
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    }
}

/// With every mode opened by hand, as a careless administrator might: the kernel's note of who
/// connects still decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_is_not_served() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let served = Served::start();
    let path = served.path();
    for (place, mode) in
        [(path.as_path(), 0o666), (path.parent().unwrap(), 0o755), (served.folder.path(), 0o755)]
    {
        fs::set_permissions(place, fs::Permissions::from_mode(mode)).unwrap();
    }
    let script = "use IO::Socket::UNIX; $SIG{PIPE} = 'IGNORE'; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!; \
        print $s qq({\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[1]}\\n); $s->flush; \
        print 'got ', map { $_ // '' } <$s>;";
    let ask = |uid: u32| {
        use std::os::unix::process::CommandExt as _;
        let mut command = std::process::Command::new("/usr/bin/perl");
        command.args(["-e", script]).arg(&path);
        let output = command.uid(uid).stdin(std::process::Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(tokio::task::block_in_place(|| ask(65_534)), "got ");
    let mut client = served.client().await;
    client.call(1, "echo").await;
    assert_eq!(client.line().await.unwrap()["id"], 1);
}

/// A file with this text, open at its beginning.
fn file_of(text: &str) -> fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

impl Client {
    /// Sends bytes and open files in one message.
    fn pass(&self, bytes: &str, files: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        assert!(beside.push(SendAncillaryMessage::ScmRights(files)));
        let text = [IoSlice::new(bytes.as_bytes())];
        let sent = sendmsg(self.0.get_ref(), &text, &mut beside, SendFlags::NOSIGNAL).unwrap();
        assert_eq!(sent, bytes.len());
    }
}

fn request(id: u32, method: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\"}}")
}

#[tokio::test]
async fn an_open_file_belongs_to_the_request_whose_line_it_ends() {
    let served = Served::start();
    let mut client = served.client().await;
    // Whole lines at once, the end alone, and requests without one before, between and behind.
    client.send(&format!("{}\n", request(1, "echo"))).await;
    client.pass(&format!("{}\n", request(2, "file")), &[file_of("two").as_fd()]);
    client.send(&request(3, "file")).await;
    client.pass("\n", &[file_of("three").as_fd()]);
    client.send(&format!("{}\n", request(4, "file"))).await;
    let mut answers = std::collections::BTreeMap::new();
    for _ in 0..4 {
        let answer = client.line().await.unwrap();
        answers.insert(answer["id"].as_u64().unwrap(), answer);
    }
    assert_eq!(answers[&2]["result"], "two");
    assert_eq!(answers[&3]["result"], "three");
    assert_eq!(answers[&4]["error"]["data"]["name"], "descriptor_missing");
}

/// Pipes and sockets have contents; a folder or a device would be a place in the file system that
/// the daemon looks into for somebody.
#[tokio::test]
async fn folders_and_devices_are_no_contents() {
    let served = Served::start();
    let mut client = served.client().await;
    let folder = fs::File::open(served.folder.path()).unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    for file in [folder.as_fd(), null.as_fd()] {
        client.pass(&format!("{}\n", request(1, "file")), &[file]);
        assert_eq!(client.error().await, "invalid_request");
    }
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"piped").unwrap();
    drop(writer);
    client.pass(&format!("{}\n", request(2, "file")), &[reader.as_fd()]);
    assert_eq!(client.line().await.unwrap()["result"], "piped");
}

/// Whoever passes what nobody asked for is told, and not listened to any more.
#[tokio::test]
async fn an_open_file_that_nobody_asked_for_ends_the_connection() {
    let served = Served::start();
    let file = file_of("unasked");
    let (one, two) = (vec![file.as_fd()], vec![file.as_fd(); 2]);
    let many = vec![file.as_fd(); 8];
    let line = |method| format!("{}\n", request(1, method));
    for (bytes, files) in [
        (line("echo"), &one),
        (line("nothing"), &one),
        (line("watch"), &one),
        (line("file"), &two),
        (line("file"), &many),
        // Not with the line's end: whose it is would depend on how the bytes came.
        ("{\"jsonrpc\"".to_owned(), &one),
        (format!("{}{{", line("file")), &one),
        ("\n".to_owned(), &one),
        (" \r\n".to_owned(), &one),
    ] {
        let mut client = served.client().await;
        client.pass(&bytes, files);
        assert_eq!(client.error().await, "invalid_request", "{bytes}");
        client.closed().await;
    }
    // A second one before the first line was taken.
    let mut client = served.client().await;
    client.pass("{\"id\":", &[]);
    client.pass("1}\n", &one);
    assert_eq!(client.error().await, "invalid_request");
}

/// None of them stays open here, whatever became of the request.
#[tokio::test]
async fn passed_files_are_closed_again() {
    let served = Served::start();
    for bytes in [format!("{}\n", request(1, "file")), format!("{}\n", request(1, "echo")), "{".to_owned()] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut client = served.client().await;
        if bytes.contains("file") {
            // Its method reads to the end: of a file of its own, so that it ends.
            let (own, theirs) = std::io::pipe().unwrap();
            drop(theirs);
            client.pass(&bytes, &[own.as_fd()]);
            client.line().await.unwrap();
        }
        client.pass("{", &[writer.as_fd()]);
        drop(writer);
        client.closed().await;
        // It ends only when nobody holds the other side.
        let read = tokio::task::spawn_blocking(move || reader.read(&mut [0]).unwrap()).await;
        assert_eq!(read.unwrap(), 0);
    }
}

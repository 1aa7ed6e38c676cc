//! The metadata server is killed under load, again and again: what it has acknowledged is there,
//! once, and what it has not is asked again and taken (docs/assurance.md, C6).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parsec_tests::device::private_folder;
use parsec_tests::server::{NO_LIMITS, Server};
use parsec_tests::{load, metrics};
use parsecd::transport::Transport as _;
use parsecd::transport::relay::GreeterTransport;
use tokio::sync::watch;

/// Kills: as usual, and in a full run.
const KILLS: (u64, u64) = (6, 1_000);
/// People at once.
const PEOPLE: usize = 8;
/// Acknowledged ceremonies between two kills: whenever the next comes, something is under way.
const BETWEEN: usize = 4;
/// Longest wait for the next of them: then the server is not just slow.
const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn what_a_killed_server_has_acknowledged_is_there_once() {
    let _machine = parsec_tests::alone::on_the_machine();
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    private_folder(&folder.path().join("server"));
    let mut server = Server::start(&folder.path().join("server"), NO_LIMITS);
    let token = server.reserve("acme");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let kills = metrics::runs(KILLS.0, KILLS.1);
    let (_server, alice, begun) = runtime.block_on(async {
        let alice = load::alice(&server.url(), &token, &"acme".parse().unwrap()).await;
        let (over, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (told, mut acknowledged) = watch::channel(0_usize);
        let people: Vec<_> = (0..PEOPLE)
            .map(|_| {
                let (alice, over, number) = (Arc::clone(&alice), Arc::clone(&over), Arc::clone(&number));
                let told = told.clone();
                tokio::spawn(async move {
                    let mut begun = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let number = number.fetch_add(1, Ordering::Relaxed);
                        begun.push(load::begun(Arc::clone(&alice), number).await.unwrap());
                        told.send_modify(|count| *count += 1);
                    }
                    begun
                })
            })
            .collect();
        let mut before = 0;
        for _ in 0..kills {
            let more = acknowledged.wait_for(|count| *count >= before + BETWEEN);
            before = *tokio::time::timeout(TIMEOUT, more).await.unwrap().unwrap();
            // In a thread that may block: people go on asking meanwhile.
            server = tokio::task::spawn_blocking(move || {
                server.restart();
                server
            })
            .await
            .unwrap();
        }
        over.store(true, Ordering::Relaxed);
        let mut begun = Vec::new();
        for person in people {
            begun.extend(person.await.unwrap());
        }
        (server, alice, begun)
    });
    let member = alice.member();
    let listed = runtime.block_on(member.invitations()).unwrap().invitations;
    let tokens: BTreeSet<_> = listed.iter().map(|invitation| invitation.token).collect();
    assert_eq!(tokens.len(), listed.len(), "an invitation is there twice");
    let mut lost = Vec::new();
    for begun in &begun {
        let transport = GreeterTransport::new(alice.member(), begun.token, begun.attempt);
        let view = runtime.block_on(transport.state()).unwrap();
        let whole = view.attempt == begun.attempt && view.steps == 1 && view.greeter.is_some();
        let first = runtime.block_on(member.invitation(begun.token)).unwrap();
        if !whole || first.attempts != 1 || runtime.block_on(transport.fetch(0)).unwrap() != [7; 48] {
            lost.push((*begun, view, first.attempts));
        }
    }
    assert!(lost.is_empty(), "{lost:?}");
    // Nobody began what is not among these: a doubled call would have left one.
    assert!(listed.len() <= begun.len(), "{} invitations, {} were made", listed.len(), begun.len());
    metrics::figure(
        "C6",
        &format!(
            "{kills} kills under load, {} ceremonies begun by 4 acknowledged calls each: 0 lost, 0 doubled",
            begun.len()
        ),
    );
}

//! What one ceremony costs the server, in counts: they can't creep back unseen, and are the same on
//! every machine.
//!
//! A piece of work that is handed to a database thread wakes that thread and then the request's
//! task: with some fifteen microseconds each, hand-overs were the largest part of a ceremony's
//! processor time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parsec_protocol::relay::{
    AttemptView, Completed, EVENT_INVITATION, EVENT_LOG, EVENT_STEP, InvitationView, Least, LogLength,
    LogPage, StepTold, path,
};
use support::stream::Stream;
use support::{BEGINNING, Bench, Claim, Newcomer};
use tokio_util::sync::CancellationToken;

use crate::store::Costs;
use crate::{Clock, Config, Server};

/// Requests of a ceremony, as both daemons make them: an invitation, its view, a start, a join, two
/// streams, nine steps put, the log for the newcomer, completing. No step is fetched: streams tell
/// them.
const REQUESTS: u64 = 17;
/// Hand-overs of these: one each, and one more for the claimer's stream, whose secret is checked
/// before it takes a place. None for the signer, who is known by then, and none for the events of
/// what has changed in the invitation, for the nine steps among them, nor for the log's length.
const HANDED_OVER: u64 = REQUESTS + 1;
/// Row operations of these. One is for the safes of whoever opens a stream. Four are for encryption
/// keys: the newcomer's two are kept, the hash of the device's is looked for among all, and the
/// device among those that were named as abandoned.
const OPERATIONS_MAX: u64 = 138;

async fn bench() -> (Bench, Arc<Costs>) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(BEGINNING));
    let mut config = Config::local(folder.path().join("db"));
    config.clock = Clock::Manual(Arc::clone(&clock));
    let server = Server::bind(config).await.unwrap();
    let (address, stop, costs) = (server.address(), CancellationToken::new(), server.app.store.costs());
    let stopping = stop.clone();
    let served = tokio::spawn(server.run(async move { stopping.cancelled().await }));
    (Bench { folder, address, clock, stop, served }, costs)
}

fn so_far(costs: &Costs) -> (u64, u64) {
    (costs.handed_over.load(Ordering::SeqCst), costs.operations.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_ceremony_is_one_hand_over_a_request_and_its_events_are_none() {
    let (bench, costs) = bench().await;
    let alice = bench.founded().await;
    let seen = alice.head(&bench).await;
    let before = so_far(&costs);

    let token = alice.invite(&bench, "bob@example.org").await;
    let claim = Claim::new(&alice, token);
    bench.call("GET", &path::invited(&alice.organisation), &claim.headers(), &[]).await;
    claim.start(&bench).await.record::<AttemptView>();
    let mut greeter = Stream::follow(&bench, &alice, &[token]).await;
    greeter.next_of::<InvitationView>(EVENT_INVITATION).await.unwrap();
    let mut claimer = Stream::open(&bench, &path::events(&claim.path()), &claim.headers()).await;
    claimer.next::<AttemptView>().await.unwrap();
    claim.join(&bench, &alice).await.record::<AttemptView>();
    claimer.next::<AttemptView>().await.unwrap();
    greeter.next_of::<InvitationView>(EVENT_INVITATION).await.unwrap();
    for step in 0..=8 {
        let content = [step; 300];
        if step % 2 == 0 {
            claim.put(&bench, step, &content).await.done();
            let told: StepTold = greeter.next_of(EVENT_STEP).await.unwrap();
            assert_eq!((told.step, told.bytes.as_slice()), (step, content.as_slice()));
            // The other side hears of each step, with what it made, and who made it doesn't.
            let seen: InvitationView = greeter.next_of(EVENT_INVITATION).await.unwrap();
            assert_eq!(seen.attempt.unwrap().steps.count_ones(), u32::from(step) + 1);
        } else {
            claim.greeter_put(&bench, &alice, step, &content).await.done();
            let told: StepTold = claimer.next_of(EVENT_STEP).await.unwrap();
            assert_eq!((told.step, told.bytes.as_slice()), (step, content.as_slice()));
            assert_eq!(claimer.next::<AttemptView>().await.unwrap().steps.count_ones(), u32::from(step) + 1);
        }
        if step == 7 {
            let log = path::invited_log(&alice.organisation, 0, Least::NOTHING);
            let page: LogPage = bench.call("GET", &log, &claim.headers(), &[]).await.record();
            assert_eq!(page.count, seen_count(&page));
        }
    }
    let completion = Newcomer::new().enrolment(&alice, seen, bench.now(), "bob@example.org");
    claim.complete(&bench, &alice, &completion).await.record::<Completed>();
    assert!(claimer.next::<AttemptView>().await.unwrap().ended.is_some());
    assert_eq!(greeter.next_of::<LogLength>(EVENT_LOG).await.unwrap().count, 4);

    let after = so_far(&costs);
    let (handed_over, operations) = (after.0 - before.0, after.1 - before.1);
    assert_eq!(handed_over, HANDED_OVER);
    assert!(operations <= OPERATIONS_MAX, "{operations} row operations");
}

fn seen_count(page: &LogPage) -> u64 {
    u64::try_from(page.certificates.len()).unwrap()
}

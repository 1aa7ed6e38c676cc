//! Turns: whoever loses races for a safe's end has it alone for a moment, in the order of what they
//! lost, and nobody has it for long. An item that is held waits for a turn's two seconds and no
//! longer, so that a turn shows in the answer, whatever the machine is at.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::ids::SafeId;
use parsec_protocol::relay::{ErrorCode, NewRecord, RecordAnswer, SafeLogged};
use parsec_protocol::safe_log::roles::Role;
use support::safes::change;
use support::{Bench, Member};

/// Records that lose before a turn is due.
const RACES: usize = 3;

/// A safe with three who write in it.
struct Three {
    bench: Bench,
    alice: Member,
    bob: Member,
    carol: Member,
    safe: SafeId,
}

impl Three {
    async fn meet() -> Self {
        let bench = Bench::start().await;
        let alice = bench.founded().await;
        let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
        let carol = alice.with(&bench, "carol@example.org", Profile::Standard).await;
        let safe = alice.safe(&bench).await;
        alice.share(&bench, &safe, &bob, Role::Manager).await;
        alice.share(&bench, &safe, &carol, Role::Contributor).await;
        // Nobody has lost anything so far.
        alice.write(&bench, &safe, &[]).await;
        Self { bench, alice, bob, carol, safe }
    }

    /// A record at the end as it is.
    async fn record(&self, of: &Member) -> NewRecord {
        let view = of.view(&self.bench, &self.safe).await;
        of.signed_record(&of.record(&self.bench, &view, &[]))
    }

    async fn post(&self, of: &Member, record: &NewRecord) -> RecordAnswer {
        of.post_record(&self.bench, &self.safe, record).await.record()
    }

    /// Whether a record that stands next is taken.
    async fn writes(&self, of: &Member) -> bool {
        let record = self.record(of).await;
        match self.post(of, &record).await {
            RecordAnswer::Accepted { .. } => true,
            RecordAnswer::MovedOn { records, .. } => {
                assert_eq!(records, Vec::new(), "nothing came before it");
                false
            }
        }
    }

    /// Loses races with records against somebody.
    async fn lose(&self, who: &Member, to: &Member, times: usize) {
        let late = self.record(who).await;
        assert!(self.writes(to).await);
        for _ in 0..times {
            assert!(matches!(self.post(who, &late).await, RecordAnswer::MovedOn { .. }));
        }
    }
}

#[tokio::test]
async fn who_has_lost_three_races_has_the_end_alone_for_once() {
    let three = Three::meet().await;
    let (bob, carol) = (&three.bob, &three.carol);
    three.lose(bob, carol, RACES - 1).await;
    assert!(three.writes(carol).await);
    three.lose(bob, carol, 1).await;
    assert!(!three.writes(carol).await, "it is Bob's turn");
    assert!(!three.writes(&three.alice).await, "an owner's records are nobody's before others'");
    assert!(three.writes(bob).await);
    assert!(three.writes(carol).await);
    // What was accepted forgets what was lost.
    three.bench.pass(1);
    three.lose(bob, carol, RACES - 1).await;
    assert!(three.writes(carol).await);
}

#[tokio::test]
async fn who_waits_is_judged_as_soon_as_the_turn_is_over() {
    let three = Three::meet().await;
    let (bob, carol) = (&three.bob, &three.carol);
    three.lose(bob, carol, RACES).await;
    let (held, own) = (three.record(carol).await, three.record(bob).await);
    let (waited, got) = tokio::join!(three.post(carol, &held), three.post(bob, &own));
    let RecordAnswer::Accepted { seq } = got else { panic!("{got:?}") };
    let RecordAnswer::MovedOn { records, .. } = waited else { panic!("{waited:?}") };
    assert_eq!(records.as_slice(), std::slice::from_ref(&own.record));
    assert!(three.writes(carol).await);
    // An answer that was lost is given again, whoever's turn it is.
    three.lose(carol, &three.alice, RACES).await;
    assert_eq!(three.post(bob, &own).await, RecordAnswer::Accepted { seq });
}

#[tokio::test]
async fn a_turn_that_is_not_used_is_over_and_the_next_one_is_far() {
    let three = Three::meet().await;
    let (bob, carol) = (&three.bob, &three.carol);
    three.lose(bob, carol, RACES).await;
    three.bench.pass(3);
    assert!(three.writes(carol).await, "a turn has two seconds");
    // Ten seconds without another, whatever is lost.
    three.lose(bob, carol, RACES).await;
    assert!(three.writes(carol).await);
    three.bench.pass(10);
    three.lose(bob, carol, RACES).await;
    assert!(!three.writes(carol).await);
    three.bench.pass(3);
    assert!(three.writes(carol).await);
    // Then a minute.
    three.bench.pass(50);
    three.lose(bob, carol, RACES).await;
    assert!(three.writes(carol).await);
}

#[tokio::test]
async fn nobody_has_more_than_a_fifth_of_the_time() {
    let three = Three::meet().await;
    let (bob, carol) = (&three.bob, &three.carol);
    three.lose(bob, carol, RACES).await;
    three.bench.pass(1);
    assert!(three.writes(bob).await);
    // A second was taken: four are everybody's.
    three.bench.pass(3);
    three.lose(bob, carol, RACES).await;
    assert!(three.writes(carol).await);
    three.bench.pass(1);
    three.lose(bob, carol, RACES).await;
    assert!(!three.writes(carol).await);
}

#[tokio::test]
async fn an_owners_certificate_comes_before_others_and_certificates_before_records() {
    let three = Three::meet().await;
    let (alice, bob, carol, bench) = (&three.alice, &three.bob, &three.carol, &three.bench);
    let dave = alice.with(bench, "dave@example.org", Profile::Standard).await;
    let view = alice.view(bench, &three.safe).await;
    let late = alice.sharing(bench, &view, vec![change(dave.user, Some(Role::Contributor))]);
    let also = bob.sharing(bench, &view, vec![change(dave.user, Some(Role::Reader))]);
    three.lose(carol, bob, RACES).await;
    // It is Carol's turn; both lose one race with a certificate, the manager first.
    for (who, certificate) in [(bob, &also), (alice, &late)] {
        let refused = who.append(bench, &three.safe, certificate).await;
        assert_eq!(refused.code(), ErrorCode::SafeConflict);
    }
    assert!(three.writes(carol).await);
    // Then Alice's.
    let view = alice.view(bench, &three.safe).await;
    let asked = bob.sharing(bench, &view, vec![change(dave.user, Some(Role::Reader))]);
    assert_eq!(bob.append(bench, &three.safe, &asked).await.code(), ErrorCode::SafeConflict);
    let asked = alice.sharing(bench, &view, vec![change(dave.user, Some(Role::Contributor))]);
    alice.append(bench, &three.safe, &asked).await.record::<SafeLogged>();
    // Then Bob's.
    assert!(!three.writes(alice).await);
    assert!(three.writes(bob).await);
    assert!(three.writes(alice).await);
}

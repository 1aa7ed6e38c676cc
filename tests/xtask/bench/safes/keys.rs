//! Rows about keys: another one for a large safe, and one each for many safes.
//!
//! Decides how a large organisation comes about: its members are tasks of this process, whom
//! Alice's device, stopped meanwhile, lets in by the shipped machines. Beside each stands what the
//! boxes alone take on one core.

use std::sync::Arc;
use std::time::Instant;

use parsec_protocol::control::{DeviceSelector, Member, SafeRole, UserRevoke, method};
use parsec_protocol::ids::{SafeId, UserId};
use parsec_protocol::keys::UserSeed;
use parsec_protocol::safes::boxes::make_box;
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_PASSWORD, Fixture};
use parsec_tests::load;
use parsec_tests::own_devices::{only, opened};
use parsec_tests::safes::{Safe, create};
use parsecd::os::entropy::System;
use tokio::sync::Semaphore;

use super::table::{PARSEC, Table};
use super::{Plan, office};
use crate::bench::said;

/// Members of each of many safes.
const MEMBERS: usize = 20;
/// Ceremonies at once.
const AT_ONCE: usize = 8;
/// The reference's name.
const BOXES: &str = "its boxes alone";

pub(super) fn measure(plan: &Plan, table: &mut Table) -> Result<(), String> {
    let mut fixture = office::open(plan);
    enrol(&mut fixture, plan.members.max(MEMBERS))?;
    let mut events = Follower::start(&fixture.alice.socket(), None);
    if table.wants("rekey large") {
        shared(&fixture, "Large", plan.members)?;
        let safe = Safe { device: &fixture.alice, name: "Large" };
        let begun = Instant::now();
        safe.unshare(&member(1)).map_err(|why| format!("{why:?}"))?;
        table.note("rekey large", PARSEC, begun.elapsed().as_secs_f64());
        table.note("rekey large", BOXES, boxes(plan.members)?);
    }
    if table.wants("rekey many") {
        let names: Vec<String> = (0..plan.safes).map(|number| format!("Many {number}")).collect();
        for name in &names {
            shared(&fixture, name, MEMBERS)?;
        }
        let asked = UserRevoke { select: DeviceSelector::default(), user: user(&fixture, &member(2))? };
        let begun = Instant::now();
        let _: Member = fixture.alice.call(method::USER_REVOKE, asked).map_err(|why| format!("{why:?}"))?;
        for name in &names {
            let safe = Safe { device: &fixture.alice, name };
            while safe.show().map_err(|why| format!("{why:?}"))?.safe.epoch == 0 {
                let _ = events.item().map_err(|why| format!("{why:?}"))?;
            }
        }
        table.note("rekey many", PARSEC, begun.elapsed().as_secs_f64());
        table.note("rekey many", BOXES, boxes(plan.safes * MEMBERS)?);
    }
    Ok(())
}

/// Address of a member by their number.
fn member(number: usize) -> String {
    format!("bob{number}@acme.example")
}

fn user(fixture: &Fixture, email: &str) -> Result<UserId, String> {
    let members = fixture.alice.users().map_err(|why| format!("{why:?}"))?.users;
    let found = members.into_iter().find(|member| member.email.as_str() == email);
    found.map(|member| member.user).ok_or_else(|| format!("{email} is no member"))
}

/// Lets in so many people.
fn enrol(fixture: &mut Fixture, count: usize) -> Result<(), String> {
    let device = only(&fixture.alice);
    fixture.alice.kill();
    let alice = load::taken_over(opened(&fixture.alice.data(), device, ALICE_PASSWORD));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(said)?;
    runtime.block_on(async {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut running = tokio::task::JoinSet::new();
        for number in 0..count {
            let place = Arc::clone(&places).acquire_owned().await.map_err(said)?;
            let alice = Arc::clone(&alice);
            running.spawn(async move {
                let done = Box::pin(load::ceremony(alice, number, None)).await;
                drop(place);
                done
            });
        }
        while let Some(done) = running.join_next().await {
            done.map_err(said)??;
        }
        Ok::<_, String>(())
    })?;
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).map_err(|why| format!("{why:?}"))?;
    let _ = fixture.alice.verify().map_err(|why| format!("{why:?}"))?;
    Ok(())
}

/// A safe with so many members, Alice included.
fn shared(fixture: &Fixture, name: &str, members: usize) -> Result<(), String> {
    let _ = create(&fixture.alice, name);
    let safe = Safe { device: &fixture.alice, name };
    for number in 1..members {
        safe.share(&member(number), SafeRole::Reader).map_err(|why| format!("{why:?}"))?;
    }
    Ok(())
}

/// Seconds that so many boxes take.
fn boxes(count: usize) -> Result<f64, String> {
    let (organisation, safe) = ("acme".parse().map_err(said)?, SafeId::from_bytes([7; 16]));
    let key = SafeKeys::draw(&mut System).map_err(said)?;
    let key = EpochKey::new(&organisation, &safe, 1, &key);
    let to = UserSeed::random(&mut System).map_err(said)?.encryption_key();
    let begun = Instant::now();
    for number in 0..count {
        let mut id = [0; 16];
        id.iter_mut().zip(number.to_be_bytes()).for_each(|(byte, digit)| *byte = digit);
        let _ = std::hint::black_box(make_box(&key, UserId::from_bytes(id), &to));
    }
    Ok(begun.elapsed().as_secs_f64())
}

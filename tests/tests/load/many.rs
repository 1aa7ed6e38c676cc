//! Many ceremonies at once against one real server: none lost, none half done (docs/assurance.md,
//! P1).
//!
//! The people are tasks in this process; their machines, drivers, transport and stores are the
//! shipped ones. Only scrypt is made cheap, which the shipped daemon can't be told to. How long
//! they last is told and not judged: newcomers and greeters, who have machines of their own
//! elsewhere, share these two cores with the server here, in a profile that nobody ships.
//! `cargo xtask bench` judges it.

use std::sync::Arc;
use std::time::Instant;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::SecretText;
use parsec_tests::device::private_folder;
use parsec_tests::fixture::BOB_PASSWORD;
use parsec_tests::load::{self, Alice};
use parsec_tests::metrics;
use parsec_tests::server;
use parsecd::store::{Devices, WorkFactor};
use zeroize::Zeroizing;

/// How many: as usual, and in a full run.
const CEREMONIES: (u64, u64) = (400, 1_500);
/// At a time: so many newcomers hear from their greeters on one day; and a whole company in one
/// hour.
const AT_ONCE: (u64, u64) = (8, 500);
/// They live in several organisations: each newcomer verifies the whole log of theirs, which a
/// thousand in one would make the longest part of the test.
const ORGANISATIONS: [&str; 4] = ["acme", "bolt", "crank", "dowel"];

#[test]
fn many_ceremonies_none_lost_none_half_done() {
    let _machine = parsec_tests::alone::on_the_machine();
    let size = |(usual, full)| usize::try_from(metrics::runs(usual, full)).unwrap();
    let (count, at_once) = (size(CEREMONIES), size(AT_ONCE));
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    private_folder(&folder.path().join("server"));
    let server = server::Server::start(&folder.path().join("server"), server::NO_LIMITS);
    let tokens: Vec<_> =
        ORGANISATIONS.iter().map(|name| (name.parse().unwrap(), server.reserve(name))).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let begun = Instant::now();
    let (alices, lost, mut lasted) = runtime.block_on(async {
        let mut alices: Vec<Arc<Alice>> = Vec::new();
        for (organisation, token) in &tokens {
            alices.push(load::alice(&server.url(), token, organisation).await);
        }
        let places = Arc::new(tokio::sync::Semaphore::new(at_once));
        let mut running = tokio::task::JoinSet::new();
        for number in 0..count {
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let alice = Arc::clone(&alices[number % ORGANISATIONS.len()]);
            let folder = folder.path().join(format!("bob{number}"));
            running.spawn(async move {
                let since = Instant::now();
                let done = Box::pin(load::ceremony(alice, number, Some(folder))).await;
                drop(place);
                done.map(|()| since.elapsed().as_secs_f64()).map_err(|why| format!("{number}: {why}"))
            });
        }
        let (mut lost, mut lasted) = (Vec::new(), Vec::new());
        while let Some(done) = running.join_next().await {
            match done {
                Ok(Ok(seconds)) => lasted.push(seconds),
                Ok(Err(why)) => lost.push(why),
                Err(why) => lost.push(why.to_string()),
            }
        }
        (alices, lost, lasted)
    });
    let seconds = begun.elapsed().as_secs_f64();
    assert!(lost.is_empty(), "{} lost: {:?}", lost.len(), lost.first());

    let logs: Vec<Arc<VerifiedLog>> =
        alices.iter().map(|alice| runtime.block_on(alice.newest()).unwrap()).collect();
    let everybody = count + ORGANISATIONS.len();
    assert_eq!(logs.iter().map(|log| log.users().count()).sum::<usize>(), everybody);
    assert_eq!(logs.iter().map(|log| log.devices().count()).sum::<usize>(), everybody);
    let password = SecretText::new(Zeroizing::new(BOB_PASSWORD.to_owned()));
    let mut half = Vec::new();
    for number in 0..count {
        let devices =
            Devices::open_with(&folder.path().join(format!("bob{number}")), WorkFactor::for_tests()).unwrap();
        let kept = devices.list().unwrap();
        let matches = kept.len() == 1 && {
            let open = devices.unlock(kept[0].device, &password).unwrap();
            let certified = logs[number % ORGANISATIONS.len()].device(&kept[0].device);
            certified.is_some_and(|device| device.verify_key == open.keys.signing_key.verify_key())
        };
        if !matches {
            half.push(number);
        }
    }
    assert!(half.is_empty(), "half enrolled: {half:?}");
    lasted.sort_by(f64::total_cmp);
    let slow = lasted[(lasted.len() - 1) * 99 / 100];
    println!(
        "figure P1: {count} ceremonies, {at_once} at a time: none lost, none half enrolled, none in another's place; {seconds:.1} s, {:.0} a \
         minute, 99 of 100 within {slow:.2} s",
        60.0 * count as f64 / seconds
    );
}

//! What goes to the server before the record that names it: nothing that was sealed under a key
//! which has been replaced since. Whoever was taken out has that key, and the server may give them
//! what it has.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex};

use parsec_protocol::control::SafeRole;
use parsec_tests::fixture::BOB_EMAIL;
use parsec_tests::lying::{lies, objects_in};

use super::Shared;

const CHUNK: usize = 524_288;
/// Chunks that are sealed under the first key: two batches.
const BEFORE: usize = 16;
/// Chunks behind them, the last one a byte long.
const BEHIND: usize = 17;

#[test]
fn nothing_that_was_sealed_under_a_replaced_key_goes_ahead() {
    let shared = Shared::with(SafeRole::Contributor);
    // From then on the line is known to be fast.
    let _ = shared.alice().put_shared("/one", b"1");
    let sent = Arc::new((Mutex::new(0_usize), Condvar::new()));
    let counts = Arc::clone(&sent);
    lies(&shared.fixture.proxy, move |request, answer| {
        if request.method == "PUT" && request.target.ends_with("/objects") && answer.status == 204 {
            *counts.0.lock().unwrap() += objects_in(&request.body).len();
            counts.1.notify_all();
        }
    });
    let contents: Vec<u8> = (0..(BEFORE + BEHIND - 1) * CHUNK + 1)
        .map(|at| (at as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let reader = File::from(OwnedFd::from(reader));
    std::thread::scope(|scope| {
        let put =
            scope.spawn(|| shared.alice().put_file("/large", &reader, contents.len() as u64, 120).unwrap());
        writer.write_all(&contents[..BEFORE * CHUNK]).unwrap();
        // They go while the rest is still to come.
        let count = sent.0.lock().unwrap();
        drop(sent.1.wait_while(count, |count| *count < BEFORE).unwrap());
        let _ = shared.alice().unshare(BOB_EMAIL).unwrap();
        writer.write_all(&contents[BEFORE * CHUNK..]).unwrap();
        drop(writer);
        let done = put.join().unwrap();
        assert!(done.shared, "{done:?}");
    });
    // All of it under the next key, with a page, and nothing else.
    assert_eq!(*sent.0.lock().unwrap(), BEFORE + BEFORE + BEHIND + 1);
    assert!(shared.alice().get("/large").unwrap() == contents);
}

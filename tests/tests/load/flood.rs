//! P8. A flood of silent connections and of one member's calls: another organisation's member is
//! answered, every time, while it stands.

use parsec_tests::device::private_folder;
use parsec_tests::flood::{self, Size, make_room, stand};
use parsec_tests::metrics;
use parsec_tests::server::Server;

/// As usual: twice as many connections as places, below the 1,024 descriptors that a test may
/// usually have.
const USUAL: Size = Size { silent: 400, bursts: 20, invitations: 100 };
const PLACES: &[&str] = &["--connections", "200"];

#[test]
fn whoever_floods_keeps_no_other_organisation_waiting() {
    let _machine = parsec_tests::alone::on_the_machine();
    let (size, options) = if metrics::full() { (flood::FULL, [].as_slice()) } else { (USUAL, PLACES) };
    make_room(&size).unwrap();
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    private_folder(&folder.path().join("server"));
    let server = Server::start(&folder.path().join("server"), options);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let seen = runtime.block_on(stand(&server, size)).unwrap();
    // The flood was one: it was answered too, as far as it is its member's share.
    assert!(seen.answered > 0 && !seen.flooded.is_empty());
    let slowest = seen.flooded.iter().copied().fold(0.0, f64::max);
    metrics::figure(
        "P8",
        &format!(
            "{} silent connections and {} bursts: {} calls of another organisation answered, the slowest in {slowest:.0} ms; of the \
             flood's own {} answered, {} told to wait",
            size.silent,
            size.bursts,
            seen.flooded.len(),
            seen.answered,
            seen.refused
        ),
    );
}

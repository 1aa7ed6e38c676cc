//! The figure of a server in a flood: how long one organisation's calls take while another's member
//! and one address ask for everything there is.
//!
//! Decides that nothing is lifted: places, rates and quotas are those that a server is shipped
//! with.

use parsec_tests::device::private_folder;
use parsec_tests::flood::{FULL, make_room, stand};
use parsec_tests::server::Server;

use super::{Figure, Goal, percentile, said};

/// Milliseconds within which 99 of 100 are answered.
const GOAL_MS: f64 = 100.0;

pub(super) fn figures() -> Vec<Figure> {
    match measure() {
        Ok(figure) => vec![figure],
        Err(why) => {
            eprintln!("cargo xtask bench: flood: {why}");
            Vec::new()
        }
    }
}

fn measure() -> Result<Figure, String> {
    make_room(&FULL)?;
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").map_err(said)?;
    private_folder(&folder.path().join("server"));
    let server = Server::start(&folder.path().join("server"), &[]);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(said)?;
    let mut seen = runtime.block_on(stand(&server, FULL))?;
    let calm = percentile(&mut seen.calm, 0.99);
    let flooded = percentile(&mut seen.flooded, 0.99);
    let figure = Figure::beside("call in a flood", "ms", flooded, "on the calm server", calm);
    Ok(Figure { goal: Some(Goal::value_at_most(GOAL_MS)), ..figure })
}

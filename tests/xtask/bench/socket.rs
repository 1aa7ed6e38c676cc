//! Figures `socket p50` and `socket p99`: a call that does nothing, over the daemon's socket,
//! beside a line echoed over another.
//!
//! Decides the load: one client, one request at a time, `status.show` on a daemon without devices,
//! and its own answer sent to the echo, so that as many bytes travel.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use parsec_tests::device::Device;
use parsec_tests::process::Daemon;

use super::{Figure, Goal, Pinned, percentile, pin};

/// Rounds of each; the median of an odd number is one of them.
const ROUNDS: usize = 21;
/// Round trips in a round: a 99th percentile has ten beyond it.
const TRIPS: usize = 1_000;
const REQUEST: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status.show\",\"params\":{}}\n";

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn figures() -> Vec<Figure> {
    match measure() {
        Ok(figures) => figures,
        Err(error) => {
            eprintln!("cargo xtask bench: socket: {error}");
            Vec::new()
        }
    }
}

fn measure() -> std::io::Result<Vec<Figure>> {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp")?;
    let mut device = Device::start_one(Daemon::Shipped, "bench", &folder.path().join("t"), &[]);
    let place = folder.path().join("echo.sock");
    let mut echo = Killed(
        Command::new(std::env::current_exe()?).arg("echo").arg(&place).stdout(Stdio::piped()).spawn()?,
    );
    let mut ready = String::new();
    if let Some(stdout) = echo.0.stdout.take() {
        BufReader::new(stdout).read_line(&mut ready)?;
    }
    // All three on one core: where a line wakes another core up, the figure is that of waking.
    let here = Pinned::here();
    let others = [device.process().id(), echo.0.id()].map(|process| pin(process, "0"));
    let pinned = here.worked() && others.into_iter().all(|done| done);
    let mut daemon = Line::open(&device.socket())?;
    let mut reference = Line::open(&place)?;
    let answer = daemon.trip(REQUEST)?;
    let (mut ours, mut theirs) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for _ in 0..ROUNDS {
        for (line, sent, into) in
            [(&mut daemon, REQUEST, &mut ours), (&mut reference, answer.as_slice(), &mut theirs)]
        {
            let mut times = line.round(sent)?;
            for (share, list) in [0.5, 0.99].into_iter().zip(into) {
                list.push(percentile(&mut times, share));
            }
        }
    }
    let names =
        [("socket p50", "echo p50", Some(Goal::ratio_at_most(2.0))), ("socket p99", "echo p99", None)];
    let figures = ours.iter_mut().zip(&mut theirs).zip(names);
    Ok(figures
        .map(|((ours, theirs), (name, reference, goal))| {
            let (value, reference_value) = (percentile(ours, 0.5), percentile(theirs, 0.5));
            Figure {
                goal,
                rounds: ROUNDS,
                pinned,
                ..Figure::beside(name, "µs", value, reference, reference_value)
            }
        })
        .collect())
}

/// A connection on which lines go and come.
struct Line {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Line {
    fn open(socket: &Path) -> std::io::Result<Self> {
        let writer = UnixStream::connect(socket)?;
        Ok(Self { reader: BufReader::new(writer.try_clone()?), writer })
    }

    fn trip(&mut self, line: &[u8]) -> std::io::Result<Vec<u8>> {
        self.writer.write_all(line)?;
        let mut answer = Vec::new();
        self.reader.read_until(b'\n', &mut answer)?;
        Ok(answer)
    }

    /// Microseconds of each trip.
    fn round(&mut self, line: &[u8]) -> std::io::Result<Vec<f64>> {
        (0..TRIPS)
            .map(|_| {
                let started = Instant::now();
                self.trip(line)?;
                Ok(started.elapsed().as_secs_f64() * 1e6)
            })
            .collect()
    }
}

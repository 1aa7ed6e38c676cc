//! How far a long work has come, for whoever waits: by the place of a file that came with the
//! request.
//!
//! Decides that nothing is written there. A file without places shows nothing, and the work goes on
//! all the same.

use std::os::fd::OwnedFd;

use parsec_protocol::control::PROGRESS_WHOLE;
use rustix::fs::{SeekFrom, seek};

/// What a certificate or record counts for: as much as so many bytes of contents.
pub(super) const ITEM_BYTES: u64 = 4_096;

/// Work that is counted in bytes.
#[derive(Debug)]
pub(crate) struct Progress {
    file: OwnedFd,
    total: u64,
    done: u64,
    told: u64,
}

impl Progress {
    /// Of work that has not begun.
    pub(crate) const fn new(file: OwnedFd) -> Self {
        Self { file, total: 0, done: 0, told: 0 }
    }

    /// There is so much to do.
    pub(super) const fn will_be(&mut self, total: u64) {
        self.total = total;
    }

    /// So much more was done.
    pub(super) fn did(&mut self, more: u64) {
        self.done = self.done.saturating_add(more);
        let all = u128::from(self.total.max(1));
        let part = u128::from(self.done).saturating_mul(u128::from(PROGRESS_WHOLE)) / all;
        let part = u64::try_from(part).unwrap_or(PROGRESS_WHOLE).min(PROGRESS_WHOLE);
        if part != self.told {
            self.told = part;
            let _ = seek(&self.file, SeekFrom::Start(part));
        }
    }

    /// All was done.
    pub(super) fn ends(&mut self) {
        let left = self.total.saturating_sub(self.done);
        self.did(left.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_file_goes_from_nothing_to_the_whole() {
        let file = tempfile::tempfile().unwrap();
        let mut progress = Progress::new(file.try_clone().unwrap().into());
        let place = || rustix::fs::tell(&file).unwrap();
        progress.will_be(200);
        progress.did(100);
        assert_eq!(place(), PROGRESS_WHOLE / 2);
        progress.did(u64::MAX);
        assert_eq!(place(), PROGRESS_WHOLE, "more than was expected");
        assert_eq!(file.metadata().unwrap().len(), 0, "nothing is written");
        let file = tempfile::tempfile().unwrap();
        let mut progress = Progress::new(file.try_clone().unwrap().into());
        progress.ends();
        assert_eq!(rustix::fs::tell(&file).unwrap(), PROGRESS_WHOLE, "there was nothing to do");
        let (_reader, writer) = std::io::pipe().unwrap();
        Progress::new(writer.into()).did(7);
    }
}

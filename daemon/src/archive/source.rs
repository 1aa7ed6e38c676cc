//! An archive as a file: its frames, one after the other or from a place on.
//!
//! Decides that bytes are read at places and never believed to be those of before: whoever reads a
//! piece of it again compares it again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use parsec_protocol::archive::{ArchiveFault, HEADER_BYTES, Kind, MAGIC, Reading};

use super::refusals::Refused;
use crate::contents::stop::Stop;

/// Frames after which it is looked whether anybody still wants them.
const LOOK_EVERY: u64 = 256;

/// A frame that was read.
#[derive(Debug)]
pub(super) struct Frame {
    /// Its number.
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// Where its bytes begin in the file.
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
}

/// Frames of a file, from its beginning on.
pub(super) struct Frames<'a> {
    file: &'a File,
    stop: &'a Stop,
    reading: Reading,
    at: u64,
}

/// Reads exactly so many bytes.
pub(super) fn read_at(file: &File, room: &mut [u8], at: u64) -> Result<(), Refused> {
    file.read_exact_at(room, at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ArchiveFault::Truncated.into(),
        _ => Refused::Unreadable(error),
    })
}

impl<'a> Frames<'a> {
    /// Begins to read.
    pub(super) fn begin(file: &'a File, stop: &'a Stop) -> Result<Self, Refused> {
        let mut magic = [0; MAGIC.len()];
        // A file that is shorter than that is none.
        read_at(file, &mut magic, 0).map_err(|error| match error {
            Refused::Damaged(ArchiveFault::Truncated) => ArchiveFault::NoArchive.into(),
            other => other,
        })?;
        let reading = Reading::begin(&magic)?;
        Ok(Self { file, stop, reading, at: MAGIC.len() as u64 })
    }

    /// The next frame; nothing behind the last one, where the file ends.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Refused> {
        if self.reading.ended() {
            let length = self.file.metadata().map_err(Refused::Unreadable)?.len();
            return if length == self.at { Ok(None) } else { Err(ArchiveFault::Behind.into()) };
        }
        let number = self.reading.number();
        if number.is_multiple_of(LOOK_EVERY) && self.stop.is_over() {
            return Err(Refused::Unreadable(io::ErrorKind::Interrupted.into()));
        }
        let mut header = [0; HEADER_BYTES];
        read_at(self.file, &mut header, self.at)?;
        let (kind, length) = self.reading.header(header)?;
        let at = self.at.saturating_add(HEADER_BYTES as u64);
        let mut bytes = vec![0; length];
        read_at(self.file, &mut bytes, at)?;
        self.reading.body(&bytes)?;
        self.at = at.saturating_add(length as u64);
        // Whoever waits sees how far it has come by the place of the file; nothing here needs it.
        let _ = rustix::fs::seek(self.file, rustix::fs::SeekFrom::Start(self.at));
        Ok(Some(Frame { number, kind, at, bytes }))
    }
}

//! A file that is open, or here alone: its content as it was opened, and what programs have made of
//! it since.
//!
//! Decides that there is one of these for an inode, whoever has it open: programs of one machine
//! see each other's writes at once, as in every file system.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parsec_protocol::ids::OperationId;
use parsec_protocol::safes::content_ref::{Content, References};

use super::draft::Draft;

/// What the content is that the draft is over.
#[derive(Debug, Clone)]
pub(super) struct Base {
    /// The content; of a new file an empty one.
    pub(super) content: Arc<Content>,
    /// The version that is written over when it is saved; none for a new file.
    pub(super) version: Option<OperationId>,
}

/// What `stat` says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looks {
    /// Bytes.
    pub(super) size: u64,
    /// Nanoseconds since 1970.
    pub(super) mtime: u64,
    /// Whether it is a program.
    pub(super) executable: bool,
}

/// What programs have written.
#[derive(Default)]
pub(super) struct Written {
    /// The changes.
    pub(super) draft: Draft,
    /// Whether any of them is not saved.
    pub(super) dirty: bool,
    /// Bytes in the clear that are counted for it.
    pub(super) counted: usize,
    /// Bytes that were written since it was saved last.
    pub(super) unsaved: u64,
}

/// An open file.
pub(super) struct OpenFile {
    /// Held by whoever reads or writes the draft, and by whoever saves it.
    pub(super) written: Arc<tokio::sync::Mutex<Written>>,
    base: Mutex<Base>,
    looks: Mutex<Looks>,
    /// Whether somebody here has said that it is a program or none, which is not saved.
    pub(super) sets_executable: AtomicBool,
    /// The chunk that is read next, where it is read in order; and held while some are fetched.
    pub(super) next: AtomicU64,
    /// One fetch at a time: whoever waits finds what it needs in the cache.
    pub(super) fetching: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenFile(..)")
    }
}

impl OpenFile {
    /// A content that is opened.
    pub(super) fn new(base: Base, looks: Looks) -> Self {
        let draft = Draft::over(base.content.size);
        Self {
            written: Arc::new(tokio::sync::Mutex::new(Written { draft, ..Written::default() })),
            base: Mutex::new(base),
            looks: Mutex::new(looks),
            sets_executable: AtomicBool::new(false),
            next: AtomicU64::new(0),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// A new file; nothing of it is saved.
    pub(super) fn empty(mtime: u64, executable: bool) -> Self {
        let content = Content { size: 0, digest: None, references: References::Direct(Vec::new().into()) };
        let base = Base { content: Arc::new(content), version: None };
        let file = Self::new(base, Looks { size: 0, mtime, executable });
        if let Ok(mut written) = file.written.try_lock() {
            written.dirty = true;
        }
        file
    }

    fn looks_now(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn base_now(&self) -> MutexGuard<'_, Base> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `stat` says.
    pub(super) fn looks(&self) -> Looks {
        *self.looks_now()
    }

    /// Changes what `stat` says.
    pub(super) fn look(&self, change: impl FnOnce(&mut Looks)) {
        change(&mut self.looks_now());
    }

    /// The content that the draft is over.
    pub(super) fn base(&self) -> Base {
        self.base_now().clone()
    }

    /// The draft is over this from now on: it was saved.
    pub(super) fn set_base(&self, base: Base) {
        *self.base_now() = base;
    }

    /// The same content has another version's name now.
    pub(super) fn set_version(&self, version: Option<OperationId>) {
        self.base_now().version = version;
    }
}

//! How much of each file that is shown is on this device, and whether it is pinned.
//!
//! Decides that it is answered from what is noted of pieces and pages: nothing of the contents is
//! read for it, and nothing asked of the server.

use std::collections::BTreeMap;
use std::sync::Arc;

use parsec_protocol::control::{FileEntry, Problem};
use parsec_protocol::safes::content_ref::Content;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::tree::Tree as _;

use crate::os::blocking_in;
use crate::safes::listing;
use crate::safes::presence::{Measure, contents_of, is_pinned, measured, pinned_contents};
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe};
use crate::store::Standing;

/// What is looked for of files that are shown, out of the tree that they were listed from.
pub(super) struct Filling {
    contents: Vec<Option<Content>>,
    pinned: Vec<bool>,
    keys: SafeKeys,
}

impl Filling {
    /// Of these files.
    pub(super) fn of(safe: &OpenSafe, memory: &Memory, files: &[FileEntry]) -> Self {
        let tree = listing::tree(memory);
        let pins = safe.keeping.pins();
        // What a folder's pin says of it, it says of all that is in it.
        let mut folders = BTreeMap::new();
        let mut pinned = |file: &FileEntry| {
            let above = tree.entry(file.entry).and_then(|entry| entry.parent)?;
            let covered = *folders.entry(above).or_insert_with(|| is_pinned(&tree, &pins, above));
            Some(covered || pins.contains_key(&file.entry))
        };
        Self {
            pinned: files.iter().map(|file| pinned(file).unwrap_or_default()).collect(),
            contents: files.iter().map(|file| tree.entry(file.entry)?.content().cloned()).collect(),
            keys: memory.keys.copied(),
        }
    }

    /// Says it of each.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn fill(
        self,
        session: &Session,
        safe: &Arc<OpenSafe>,
        files: &mut [FileEntry],
    ) -> Result<(), Problem> {
        let Self { contents, pinned, keys } = self;
        let known: Vec<bool> = contents.iter().map(Option::is_some).collect();
        let contents: Vec<Content> = contents.into_iter().flatten().collect();
        let mut found = measure(session, safe, keys, contents).await?.into_iter();
        for ((file, pinned), known) in files.iter_mut().zip(pinned).zip(known) {
            file.pinned = pinned;
            file.here = if known { found.next().map(|measure| measure.word()) } else { None };
        }
        Ok(())
    }
}

/// How much of each content is here.
///
/// # Errors
/// The store's.
pub(super) async fn measure(
    session: &Session,
    safe: &Arc<OpenSafe>,
    keys: SafeKeys,
    contents: Vec<Content>,
) -> Result<Vec<Measure>, Problem> {
    if contents.is_empty() {
        return Ok(Vec::new());
    }
    let (open, safe) = (Arc::clone(&session.open), Arc::clone(safe));
    blocking_in(&session.tasks, move || measured(&open.store, &safe, &keys, &contents)).await
}

/// Bytes of a safe's live files that are here, and bytes of those that are pinned.
///
/// # Errors
/// The store's.
pub(super) async fn of_safe(session: &Session, safe: &Arc<OpenSafe>) -> Result<(u64, u64), Problem> {
    let (all, pinned, keys) = {
        let memory = safe.memory().await;
        if memory.standing == Standing::Offered {
            return Ok((0, 0));
        }
        let tree = listing::tree(&memory);
        let pinned: u64 =
            pinned_contents(&tree, &safe.keeping.pins()).iter().map(|content| content.size).sum();
        (contents_of(&tree, tree.root()), pinned, memory.keys.copied())
    };
    let here = measure(session, safe, keys, all).await?;
    Ok((here.iter().map(|measure| measure.here).sum(), pinned))
}

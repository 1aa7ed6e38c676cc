//! Which mounted safe has a path of this machine, and where in it.
//!
//! Decides that names are compared byte by byte and whole: nothing is normalised, and `/a/bc` is
//! not below `/a/b`. Refuses to look at the disk: a path through a symbolic link is nobody's.

use std::sync::Arc;

use parsec_protocol::control::paths::{read_name, write_path};
use parsec_protocol::safes::name::EntryName;

use crate::session::Session;
use crate::session::mounts::Mounted;

/// Names of a path, from the machine's root on.
pub(crate) type Names = Vec<Vec<u8>>;

/// Most names of a path: those of a safe, and as many above it.
const NAMES_MAX: usize = 200;

/// Reads a path; nothing for what is none, which is no reason to refuse the others.
pub(crate) fn read(text: &str) -> Option<Names> {
    let rest = text.strip_prefix('/')?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let names: Names = rest.split('/').take(NAMES_MAX + 1).map(read_name).collect::<Result<_, _>>().ok()?;
    (names.len() <= NAMES_MAX).then_some(names)
}

/// Names of a folder as whoever mounted it says it: nothing in it is escaped.
pub(super) fn folder_names(folder: &str) -> Option<Names> {
    let rest = folder.strip_prefix('/')?;
    Some(rest.split('/').filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect())
}

/// A safe that is mounted, and on which names.
pub(super) struct MountedFolder {
    pub(super) mounted: Arc<Mounted>,
    folder: Names,
}

impl MountedFolder {
    /// The folder, written as paths are.
    pub(super) fn written(&self) -> String {
        write_path(self.folder.iter().map(Vec::as_slice))
    }

    /// Where in the safe a path of this machine is.
    pub(super) fn within(&self, path: &Names) -> Option<Vec<EntryName>> {
        let below = path.strip_prefix(self.folder.as_slice())?;
        below.iter().map(|name| EntryName::new(name).ok()).collect()
    }
}

/// Safes of a device that are mounted, the innermost folder first.
pub(super) fn places(session: &Session) -> Vec<MountedFolder> {
    let all = session.mounts.all().into_iter();
    let place =
        |mounted: Arc<Mounted>| Some(MountedFolder { folder: folder_names(&mounted.folder)?, mounted });
    let mut places: Vec<MountedFolder> = all.filter_map(place).collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.folder.len()));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_byte_by_byte_or_not_at_all() {
        assert_eq!(read("/a/b:c\nd\te").unwrap(), [b"a".to_vec(), b"b:c\nd\te".to_vec()]);
        assert_eq!(read("/\\xff\\\\/").unwrap(), [b"\xff\\".to_vec()]);
        for none in ["", "a", "/", "//a", "/a//b", "/a/../b", "/a/.", "/a\\", "/a\\x2fb", "/a\\x00"] {
            assert_eq!(read(none), None, "{none:?}");
        }
        assert!(read(&"/a".repeat(NAMES_MAX)).is_some());
        assert_eq!(read(&"/a".repeat(NAMES_MAX + 1)), None);
        let decomposed = read("/Zoe\u{308}").unwrap();
        assert_ne!(decomposed, read("/Zo\u{eb}").unwrap(), "nothing is normalised");
    }
}

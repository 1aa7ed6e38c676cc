//! Names that must be there after a power cut: a folder is synced after something in it was made or
//! renamed.

use std::fs::File;
use std::io;
use std::path::Path;

/// The folder that holds `path`: this one, where the path is a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Syncs the folder that holds `path`.
///
/// # Errors
/// The system's.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

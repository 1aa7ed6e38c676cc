//! Names that must be there after a power cut: a folder is synced after something in it was made or renamed.

use std::fs::File;
use std::io;
use std::path::Path;

/// Syncs the folder that holds `path`.
///
/// # Errors
/// The system's.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

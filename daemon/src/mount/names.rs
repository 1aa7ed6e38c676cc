//! Which names a mount keeps on this device, and which symbolic links it makes and follows.
//!
//! Decides by the bytes of a name alone that a file is a program's own note: a lock, a swap file, a
//! download that isn't whole. Nobody else can use one, and each would be in everybody's history.
//! Refuses a link that leads out of the safe: on another member's machine its target would be a
//! file of theirs, which whoever made the link has chosen.

/// Names that begin and end so.
const CONFINED: &[(&[u8], &[u8])] = &[
    // LibreOffice's locks, and Microsoft Office's.
    (b".~lock.", b"#"),
    (b"~$", b""),
    // vim: swap files and the file by which it tries whether it may write.
    (b".", b".swp"),
    (b".", b".swo"),
    (b".", b".swx"),
    // emacs: locks and what it saves by itself.
    (b".#", b""),
    (b"#", b"#"),
    // GLib, while it writes.
    (b".goutputstream-", b""),
    // Kept for those who have it open.
    (b".nfs", b""),
    (b".fuse_hidden", b""),
    // Downloads of Chromium. Not `*.part`, which people's own files are called, too.
    (b"", b".crdownload"),
];

/// Whether a file of this name stays on this device.
#[must_use]
pub(super) fn is_confined(name: &[u8]) -> bool {
    // vim's, whatever the folder is.
    name == b"4913"
        || CONFINED.iter().any(|(begin, end)| {
            name.len() > begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
        })
}

/// Whether a link in a folder so deep below the root stays inside the safe: steps up first, no more
/// than there are, and then names alone. A step up behind a name could go through another link.
#[must_use]
pub(super) fn stays_inside(depth: usize, target: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") {
        return false;
    }
    let (mut up, mut named) = (0, false);
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if named => return false,
            b".." => up += 1,
            _ => named = true,
        }
    }
    up <= depth
}

/// A target that begins with the folder of the mount, from a link so deep below the root: the same
/// place, as it can be said on every machine. None for any other target.
#[must_use]
pub(super) fn made_relative(mount: &[u8], depth: usize, target: &[u8]) -> Option<Vec<u8>> {
    let rest = target.strip_prefix(mount)?;
    let names = rest.strip_prefix(b"/").or_else(|| rest.is_empty().then_some(rest))?;
    let mut relative = b"../".repeat(depth);
    relative.extend_from_slice(names);
    if relative.is_empty() {
        relative.push(b'.');
    }
    Some(relative)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_programs_stay_here_and_nothing_else_does() {
        let own: [&[u8]; 8] = [
            b".~lock.report.odt#",
            b"~$report.docx",
            b".report.swp",
            b"4913",
            b".#report",
            b"#report#",
            b".goutputstream-ABC",
            b"film.crdownload",
        ];
        assert!(own.into_iter().all(is_confined));
        // What SQLite has committed may stand beside its database alone.
        let shared: [&[u8]; 11] = [
            b"report~",
            b".swp",
            b"part",
            b".part",
            b"film.part",
            b"report.odt",
            b"#",
            b"##",
            b"apart",
            b"base.db-wal",
            b"base.db-journal",
        ];
        assert!(shared.into_iter().all(|name| !is_confined(name)));
    }

    #[test]
    fn a_link_leads_nowhere_but_into_the_safe() {
        let inside: [(usize, &[u8]); 6] =
            [(0, b"a"), (0, b"a/b"), (1, b"../a"), (2, b"../../a"), (1, b"./.././a"), (0, b"...")];
        assert!(inside.into_iter().all(|(depth, target)| stays_inside(depth, target)));
        let outside: [(usize, &[u8]); 7] = [
            (0, b"/etc/passwd"),
            (0, b".."),
            (1, b"../.."),
            (3, b"../../../../x"),
            (3, b"a/.."),
            (3, b"a/../../b"),
            (3, b""),
        ];
        assert!(outside.into_iter().all(|(depth, target)| !stays_inside(depth, target)));
    }

    #[test]
    fn a_link_to_a_place_in_the_mount_means_it_on_every_machine() {
        let relative = |depth, target: &[u8]| made_relative(b"/home/a/Safes/Plans", depth, target);
        assert_eq!(relative(0, b"/home/a/Safes/Plans/x/y").unwrap(), b"x/y");
        assert_eq!(relative(2, b"/home/a/Safes/Plans/x").unwrap(), b"../../x");
        assert_eq!(relative(1, b"/home/a/Safes/Plans").unwrap(), b"../");
        assert_eq!(relative(0, b"/home/a/Safes/Plans/").unwrap(), b".");
        for other in [&b"/home/a/Safes/Plans2/x"[..], b"/home/a/Safes", b"x", b"/etc/passwd"] {
            assert_eq!(relative(0, other), None);
        }
        // What leads out again is refused all the same.
        let out = relative(0, b"/home/a/Safes/Plans/../x").unwrap();
        assert!(!stays_inside(0, &out));
    }
}

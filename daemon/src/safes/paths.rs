//! Paths in a safe, as the local API writes them, and what stands at one.
//!
//! Decides the escapes: bytes that are no UTF-8 as `\xNN`, a backslash as `\\`, nothing else.
//! Refuses every other spelling of a name, so that one entry has one path, and `.` and `..`: there
//! is nothing above a safe.

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::EntryId;
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::tree::{DEPTH_MAX, Tree};

/// The names from the root on; none for the root itself.
pub(crate) type Path = Vec<EntryName>;

fn invalid(text: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::NameInvalid, text)
}

fn not_found(path: &[EntryName]) -> Problem {
    Problem::new(ProblemKind::PathNotFound, format!("There is no {} in the safe.", written(path)))
}

/// Reads a path.
///
/// # Errors
/// `name_invalid`.
pub(crate) fn read(text: &str) -> Result<Path, Problem> {
    let names = text.strip_prefix('/').ok_or_else(|| invalid("A path in a safe begins with `/`."))?;
    if names.is_empty() {
        return Ok(Path::new());
    }
    // A folder's path may end in a slash, as people write it.
    let names = names.strip_suffix('/').unwrap_or(names);
    let path: Path = names.split('/').map(name).collect::<Result<_, _>>()?;
    if path.len() > DEPTH_MAX {
        return Err(invalid(format!("A path has at most {DEPTH_MAX} names.")));
    }
    Ok(path)
}

fn name(text: &str) -> Result<EntryName, Problem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let rest = letters.as_str();
        if let Some(behind) = rest.strip_prefix('\\') {
            bytes.push(b'\\');
            letters = behind.chars();
        } else if let Some(byte) = rest.strip_prefix('x').and_then(|hex| hex.get(..2)).and_then(byte) {
            bytes.push(byte);
            letters = rest.get(3..).unwrap_or_default().chars();
        } else {
            return Err(invalid("In a path, a backslash is `\\\\`, and a byte `\\xNN`."));
        }
    }
    let found = EntryName::new(&bytes).map_err(|why| invalid(format!("`{text}` is no name: {why}.")))?;
    // One entry has one path: what is UTF-8 is not escaped.
    if escaped(found.as_bytes()) == text {
        Ok(found)
    } else {
        Err(invalid("In a path, only bytes that are no UTF-8 are written as `\\xNN`."))
    }
}

fn byte(digits: &str) -> Option<u8> {
    let lower = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    u8::from_str_radix(digits, 16).ok().filter(|_| lower)
}

/// A name, or what a link points to, as a path has it.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter == '\\' {
                text.push('\\');
            }
            text.push(letter);
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Writes a path.
pub(crate) fn written(path: &[EntryName]) -> String {
    if path.is_empty() {
        return "/".to_owned();
    }
    path.iter().map(|name| format!("/{}", escaped(name.as_bytes()))).collect()
}

/// What stands at a path.
///
/// # Errors
/// `path_not_found`, `not_a_folder`.
pub(crate) fn find(tree: &dyn Tree, path: &[EntryName]) -> Result<EntryId, Problem> {
    let mut at = tree.root();
    for (depth, name) in path.iter().enumerate() {
        if !tree.is_folder(at) {
            let above = path.get(..depth).unwrap_or_default();
            let text = format!("{} is no folder.", written(above));
            return Err(Problem::new(ProblemKind::NotAFolder, text));
        }
        at = tree.child(at, name).ok_or_else(|| not_found(path))?;
    }
    Ok(at)
}

/// The folder that a path's last name stands in, and that name.
///
/// # Errors
/// As [`find`]; `path_exists` for the root.
pub(crate) fn place<'a>(tree: &dyn Tree, path: &'a [EntryName]) -> Result<(EntryId, &'a EntryName), Problem> {
    let root = || Problem::new(ProblemKind::PathExists, "`/` is the safe itself.");
    let (name, above) = path.split_last().ok_or_else(root)?;
    let parent = find(tree, above)?;
    if tree.is_folder(parent) {
        Ok((parent, name))
    } else {
        Err(Problem::new(ProblemKind::NotAFolder, format!("{} is no folder.", written(above))))
    }
}

/// Where an entry stands; none for one that is not live.
pub(crate) fn of(tree: &dyn Tree, entry: EntryId) -> Option<Path> {
    let mut path = Path::new();
    let mut at = entry;
    while at != tree.root() {
        let found = tree.entry(at)?;
        path.push(found.name.clone());
        at = found.parent?;
    }
    path.reverse();
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<Vec<u8>>, ProblemKind> {
        read(text)
            .map(|path| path.iter().map(|name| name.as_bytes().to_vec()).collect())
            .map_err(|problem| problem.name)
    }

    #[test]
    fn an_entry_has_one_path() {
        for (text, bytes) in [
            ("/", vec![]),
            ("/a/b", vec![b"a".to_vec(), b"b".to_vec()]),
            ("/a\\\\b", vec![b"a\\b".to_vec()]),
            ("/\\xff\\xfe", vec![vec![0xff, 0xfe]]),
            ("/ü\\x80", vec![[&"ü".as_bytes()[..], &[0x80]].concat()]),
        ] {
            assert_eq!(names(text), Ok(bytes), "{text}");
            assert_eq!(written(&read(text).unwrap()), text);
        }
        assert_eq!(names("/a/"), Ok(vec![b"a".to_vec()]), "as people write a folder");
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in [
            "", "a", "//", "/a//b", "/.", "/a/..", "/\\", "/\\x4", "/\\x41", "/\\xFF", "/\\n", "/\\xfü",
            "/a\0",
        ] {
            assert_eq!(names(bad), Err(ProblemKind::NameInvalid), "{bad:?}");
        }
        assert_eq!(names(&"/a".repeat(DEPTH_MAX + 1)), Err(ProblemKind::NameInvalid));
    }
}

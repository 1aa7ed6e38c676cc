//! What file managers' plug-ins ask of an unlocked device: how paths of this machine stand, and
//! what a menu can do about them.
//!
//! Decides that only what is below a mounted safe has an answer, and that no answer says more of a
//! safe than the paths that were named. Refuses to wait for a disk or a server in `status` and
//! `menu`: a file manager stands still meanwhile. What a person's screen is needed for is never
//! done here: the answer is a command, as a list.

mod folders;
mod places;
mod states;
mod words;

use std::fmt::Write as _;
use std::sync::Arc;

use parsec_protocol::control::paths::write_path;
use parsec_protocol::control::{
    DeviceSelector, FileSelector, FileUnpin, FmAct, FmInvoked, FmItem, FmMark, FmMenuItem, FmState, Problem,
    ProblemKind,
};
use parsec_protocol::ids::EntryId;
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::tree::Tree;

use crate::calls::safes::keeping;
use crate::safes::{paths, views};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::store::Standing;
use places::{MountedFolder, places};
use states::{Look, look, look_behind};

pub(crate) use folders::Folders;
pub(crate) use places::{Names, read};

/// The lines of a menu, in their order.
const ACTS: [FmAct; 6] =
    [FmAct::Share, FmAct::History, FmAct::Conflicts, FmAct::Pin, FmAct::Unpin, FmAct::CopyPath];

/// What a device says of paths.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// One for each path; nothing where no mounted safe of this device has it.
    pub(crate) items: Vec<Option<FmItem>>,
    /// Folders of its mounts, written as paths are.
    pub(crate) folders: Vec<String>,
    /// Whether nothing had to be left open.
    pub(crate) complete: bool,
}

/// What is said of a path whose device is locked.
pub(crate) fn locked() -> FmItem {
    let (state, marks) = (FmState::Locked, Vec::<FmMark>::new());
    FmItem { state, words: words::words(state, &marks), marks }
}

/// How paths stand, by this device's mounts.
///
/// # Errors
/// None of its own.
pub(crate) async fn status(session: Arc<Session>, paths: Arc<[Option<Names>]>) -> Result<Told, Problem> {
    let mut told = Told { items: vec![None; paths.len()], folders: Vec::new(), complete: true };
    let mut taken = vec![false; paths.len()];
    for place in places(&session) {
        told.folders.push(place.written());
        let mut within = Vec::new();
        for (at, (path, taken)) in paths.iter().zip(&mut taken).enumerate() {
            let found = path.as_ref().filter(|_| !*taken).and_then(|path| place.within(path));
            if let Some(found) = found {
                *taken = true;
                within.push((at, found));
            }
        }
        let Some(safe) = session.safes.get(place.mounted.safe).filter(|_| !within.is_empty()) else {
            continue;
        };
        let memory = safe.memory().await;
        let mut look = look(&session, &place.mounted, &safe, &memory);
        for (at, path) in within {
            if let Some(item) = told.items.get_mut(at) {
                *item = look.item(&path);
            }
        }
        told.complete &= look.complete;
        let wanted = std::mem::take(&mut look.wanted);
        drop(look);
        drop(memory);
        look_behind(&session, safe, wanted);
    }
    told.folders.sort();
    Ok(told)
}

/// What is selected: a safe, and where in it.
struct Selected {
    safe: Arc<OpenSafe>,
    place: MountedFolder,
    paths: Vec<Vec<EntryName>>,
}

/// What is selected, if all of it is below one mount of this device.
fn selected(session: &Session, asked: &[Option<Names>]) -> Option<Selected> {
    let first = asked.first()?.as_ref()?;
    let mut all = places(session);
    let at = all.iter().position(|place| place.within(first).is_some())?;
    let inner = |path: &Names| all.iter().position(|place| place.within(path).is_some());
    if !asked.iter().flatten().all(|path| inner(path) == Some(at)) {
        return None;
    }
    let place = all.swap_remove(at);
    let paths: Option<Vec<_>> = asked.iter().map(|path| place.within(path.as_ref()?)).collect();
    Some(Selected { safe: session.safes.get(place.mounted.safe)?, paths: paths?, place })
}

/// Whether a line can be chosen for these entries.
fn is_enabled<T: Tree>(act: FmAct, look: &mut Look<'_, T>, found: &[EntryId], accepted: bool) -> bool {
    let one = <[EntryId; 1]>::try_from(found).ok().map(|[id]| id);
    match act {
        FmAct::Share | FmAct::Conflicts => true,
        FmAct::History => one.and_then(|id| look.entry(id)).is_some_and(|entry| entry.content().is_some()),
        FmAct::Pin => accepted && found.iter().any(|id| is_to_be_pinned(look, *id)),
        FmAct::Unpin => found.iter().any(|id| look.has_pin(*id)),
        FmAct::CopyPath => one.is_some(),
        FmAct::Unknown => false,
    }
}

/// Whether it can be pinned, and no pin covers it.
fn is_to_be_pinned<T: Tree>(look: &mut Look<'_, T>, id: EntryId) -> bool {
    let Some(entry) = look.entry(id).cloned() else { return false };
    (entry.is_folder() || entry.content().is_some()) && !look.is_pinned(id, entry.parent)
}

/// The menu for what is selected; nothing where it is not of one mount of this device.
///
/// # Errors
/// None of its own.
pub(crate) async fn menu(
    session: Arc<Session>,
    asked: Arc<[Option<Names>]>,
) -> Result<Vec<FmMenuItem>, Problem> {
    let Some(selected) = selected(&session, &asked) else { return Ok(Vec::new()) };
    let memory = selected.safe.memory().await;
    let mut look = look(&session, &selected.place.mounted, &selected.safe, &memory);
    let found: Option<Vec<EntryId>> = selected.paths.iter().map(|path| look.find(path)).collect();
    let Some(found) = found else { return Ok(Vec::new()) };
    let accepted = memory.standing == Standing::Accepted;
    let line = |id: FmAct| FmMenuItem {
        id,
        label: words::label(id).to_owned(),
        enabled: is_enabled(id, &mut look, &found, accepted),
    };
    Ok(ACTS.into_iter().map(line).collect())
}

/// Characters that would make a line of text say something else, or run, where it is pasted.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A path for a command line or the clipboard: what a screen or a shell takes for something else is
/// written byte by byte, as any byte may be.
fn plain(path: &[EntryName]) -> String {
    let mut text = String::new();
    for c in write_path(path.iter().map(EntryName::as_bytes)).chars() {
        if is_unsafe(c) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String can't fail.
                let _infallible = write!(text, "\\x{byte:02x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// A command that shows a person something of this safe, by ids: no name is taken for an option.
fn command(session: &Session, words: &[&str], place: &str) -> FmInvoked {
    let device = session.open.summary.device.to_string();
    let begin = ["parsecctl", "--device", &device, "safe"];
    let all = begin.iter().chain(words).chain([&place]);
    FmInvoked { changed: 0, command: all.map(|word| (*word).to_owned()).collect(), copy: None }
}

/// Does what a line of the menu says; nothing where what is selected is not of one mount of this
/// device.
///
/// # Errors
/// `invalid_request` for what is no line, or not for what is selected; what pinning says.
pub(crate) async fn invoke(
    session: Arc<Session>,
    act: FmAct,
    asked: Arc<[Option<Names>]>,
) -> Result<Option<FmInvoked>, Problem> {
    let Some(Selected { safe, place, paths }) = selected(&session, &asked) else { return Ok(None) };
    let id = safe.id.to_string();
    let refused = || Problem::new(ProblemKind::InvalidRequest, "This line of the menu is not for these.");
    let (enabled, name) = {
        let memory = safe.memory().await;
        let mut look = look(&session, &place.mounted, &safe, &memory);
        let found: Vec<EntryId> = paths.iter().filter_map(|path| look.find(path)).collect();
        let accepted = memory.standing == Standing::Accepted;
        let enabled = found.len() == paths.len() && is_enabled(act, &mut look, &found, accepted);
        (enabled, views::name(&memory))
    };
    let keeps = matches!(act, FmAct::Pin | FmAct::Unpin);
    if !enabled && !keeps {
        return Err(refused());
    }
    let path = || paths.first().map(|path| plain(path)).unwrap_or_default();
    match act {
        FmAct::Share => Ok(Some(command(&session, &["members"], &id))),
        FmAct::Conflicts => Ok(Some(command(&session, &["conflicts"], &id))),
        FmAct::History => Ok(Some(command(&session, &["history"], &format!("{id}:{}", path())))),
        FmAct::CopyPath => {
            let name = name.map_or(id, |name| name.as_str().to_owned());
            let copy = Some(format!("{name}:{}", path()));
            Ok(Some(FmInvoked { changed: 0, command: Vec::new(), copy }))
        }
        FmAct::Pin | FmAct::Unpin => {
            let changed = keep(&session, act, &safe, &place, &paths).await?;
            Ok(Some(FmInvoked { changed, command: Vec::new(), copy: None }))
        }
        FmAct::Unknown => Err(refused()),
    }
}

/// Pins what is not, or takes pins back; for how many.
async fn keep(
    session: &Arc<Session>,
    act: FmAct,
    safe: &Arc<OpenSafe>,
    place: &MountedFolder,
    wanted: &[Vec<EntryName>],
) -> Result<u32, Problem> {
    let found: Vec<_> = {
        let memory = safe.memory().await;
        let mut look = look(session, &place.mounted, safe, &memory);
        let ids: Vec<_> = wanted.iter().filter_map(|path| Some((path, look.find(path)?))).collect();
        let mut fits = |id| if act == FmAct::Pin { is_to_be_pinned(&mut look, id) } else { look.has_pin(id) };
        ids.into_iter().filter(|(_, id)| fits(*id)).map(|(path, id)| (paths::written(path), id)).collect()
    };
    let mut changed = 0;
    for (path, entry) in found {
        let (select, safe) = (DeviceSelector::default(), safe.id.to_string());
        if act == FmAct::Pin {
            keeping::pin(session, FileSelector { select, safe, path }).await.map(drop)?;
        } else {
            let unpin = FileUnpin { select, safe, path: None, entry: Some(entry) };
            keeping::unpin(session, unpin).await.map(drop)?;
        }
        changed += 1;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pasted_is_one_line_that_reads_as_it_is() {
        let name = |bytes: &[u8]| EntryName::new(bytes).unwrap();
        let path = [name(b"a\nrm -rf ~"), name("x\u{202e}gpj.exe".as_bytes()), name(b"\xff\x1b[2J:")];
        assert_eq!(plain(&path), "/a\\x0arm -rf ~/x\\xe2\\x80\\xaegpj.exe/\\xff\\x1b[2J:");
        let read = parsec_protocol::control::paths::read_path(&plain(&path)).unwrap();
        assert_eq!(read, path.map(|name| name.as_bytes().to_vec()), "and is read back");
    }

    #[test]
    fn every_line_and_state_has_words() {
        for act in ACTS {
            assert!(!words::label(act).is_empty(), "{act:?}");
        }
        let marks = [FmMark::ReadOnly, FmMark::OnlineOnly, FmMark::Pinned];
        assert_eq!(words::words(FmState::Synced, &marks), "Synced, read-only, online only, pinned");
        assert_eq!(locked().words, "Locked");
    }
}

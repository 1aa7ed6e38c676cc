//! The brake on removals: many at once wait for a person, whatever program asked for them.
//!
//! Decides what is many: more than 1,000 entries within ten minutes, or both more than 20 and more
//! than half of the safe, counting what went out in that time and all that waits. What exceeds
//! waits, and stays waiting when the time is over, until a person decides. With it wait later
//! changes of the same entries, removals of a folder that they are in, and what only fits a tree
//! without them; everything else goes on. What can't be sent (`damaged`) holds up as much. An entry
//! is counted where members see it: what this device added and took back unshared is nobody's loss.

use std::collections::BTreeSet;
use std::time::Duration;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{EntryId, ObjectId, OperationId, Timestamp};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safes::change::Change;
use parsec_protocol::safes::fold::{Stamp, apply};
use parsec_protocol::safes::scratch::Scratch;
use parsec_protocol::safes::tree::Tree;

use super::paths;
use crate::session::open_safes::{Brake, Memory, Queued};

/// Entries that may be removed within the time without anybody being asked: a folder of an ordinary
/// size, and no whole archive.
const REMOVED_MAX: u64 = 1_000;
/// Entries that may be removed of however small a safe.
const REMOVED_OF_SMALL_MAX: u64 = 20;

/// A removal that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Removal {
    /// The person's act.
    pub(crate) group: OperationId,
    /// What it removes, as its person saw it.
    pub(crate) path: paths::Path,
    /// When it was saved.
    pub(crate) saved: Timestamp,
    /// Entries that members would lose sight of.
    pub(crate) entries: u64,
}

/// What waits for a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Removals, oldest first.
    pub(crate) removals: Vec<Removal>,
    /// The acts of those, to be looked up in a queue of thousands.
    groups: BTreeSet<OperationId>,
    /// Acts that wait with them.
    pub(crate) behind: BTreeSet<OperationId>,
    /// Files whose contents this disk has lost before they could be sent.
    pub(crate) unreadable: Vec<paths::Path>,
}

impl Waiting {
    /// Whether nothing waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.removals.is_empty()
    }

    /// Whether an act is a removal that waits.
    pub(crate) fn is_removal(&self, group: OperationId) -> bool {
        self.groups.contains(&group)
    }

    /// Whether an act does not go out.
    pub(crate) fn holds(&self, group: OperationId) -> bool {
        self.behind.contains(&group) || self.is_removal(group)
    }

    /// Entries that all removals together are of.
    pub(crate) fn entries(&self) -> u64 {
        self.removals.iter().map(|removal| removal.entries).fold(0, u64::saturating_add)
    }

    /// Names exactly these removals and their entries: another one more, and it is another name.
    pub(crate) fn what(&self) -> Hash {
        let removals = self
            .removals
            .iter()
            .flat_map(|removal| [removal.group.as_bytes().to_vec(), removal.entries.to_be_bytes().to_vec()]);
        let parts: Vec<_> = removals.collect();
        let mut hashed = vec![b"parsec-held-removals\0".as_slice()];
        hashed.extend(parts.iter().map(Vec::as_slice));
        Hash::of(&hashed)
    }

    /// What a person is told of it.
    pub(crate) fn problem(&self) -> Option<Problem> {
        if self.is_empty() {
            let file = self.unreadable.first()?;
            let text = format!(
                "Contents of {} that wait to be shared are damaged on this disk. Remove the file there, and put it again.",
                paths::written(file)
            );
            return Some(Problem::new(ProblemKind::StoreDamaged, text));
        }
        let text = format!(
            "Removals of {} files and folders at once wait for your word. Nothing of it has left this device.",
            self.entries()
        );
        Some(Problem::new(ProblemKind::RemovalWaits, text))
    }
}

/// Whether removing so many entries of so many is more than nobody is asked about.
const fn exceeds(removed: u64, entries: u64) -> bool {
    removed > REMOVED_MAX || (removed > REMOVED_OF_SMALL_MAX && removed > entries / 2)
}

/// Whether a change takes an entry out of sight.
pub(super) const fn removes(change: &Change) -> bool {
    matches!(change, Change::Remove { .. } | Change::Replace { .. })
}

/// Applies an act, and says how many entries members lose sight of by it.
fn taken(base: &dyn Tree, tree: &mut Scratch<'_>, group: &[Queued], stamp: &Stamp) -> u64 {
    let mut gone = BTreeSet::new();
    for queued in group {
        match &queued.pending.change {
            Change::Remove { entry, .. } => {
                gone.insert(*entry);
                gone.extend(tree.below(*entry));
            }
            Change::Replace { source, .. } => {
                gone.insert(*source);
            }
            _ => {}
        }
        // One that doesn't fit takes nothing.
        let _ = apply(tree, &queued.pending.change, stamp);
    }
    gone.iter().filter(|id| base.is_live(**id) && !tree.is_live(**id)).count() as u64
}

/// Acts of a queue, each with all of its changes.
pub(super) fn acts(queue: &[Queued]) -> impl Iterator<Item = &[Queued]> {
    queue.chunk_by(|one, next| one.pending.group == next.pending.group)
}

/// Which act it is.
pub(super) fn group_of(act: &[Queued]) -> Option<OperationId> {
    act.first().map(|queued| queued.pending.group)
}

/// Entries of the tree that a queue's accepted acts have taken out of sight, those alone that no
/// person has let go.
pub(super) fn accepted(memory: &Memory, known: &BTreeSet<OperationId>, stamp: &Stamp) -> u64 {
    if known.is_empty() || !memory.queue.iter().any(|queued| removes(&queued.pending.change)) {
        return 0;
    }
    let mut tree = Scratch::new(&memory.base);
    let mut entries = 0;
    for act in acts(&memory.queue) {
        let taken = taken(&memory.base, &mut tree, act, stamp);
        let is_known = act.iter().any(|queued| known.contains(&queued.pending.change.operation()));
        let released = act.iter().any(|queued| queued.brake == Some(Brake::Released));
        if is_known && !released {
            entries += taken;
        }
    }
    entries
}

/// What later acts must not overtake.
#[derive(Default)]
struct Held {
    entries: BTreeSet<EntryId>,
    objects: BTreeSet<ObjectId>,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.objects.is_empty()
    }

    fn add(&mut self, act: &[Queued]) {
        for queued in act {
            self.entries.extend(entries_of(&queued.pending.change).into_iter().flatten());
            self.objects.extend(queued.adds.iter().copied());
        }
    }

    /// Whether an act is about the same entries, or has contents that only a held one sends.
    fn concerns(&self, act: &[Queued]) -> bool {
        act.iter().any(|queued| {
            let change = &queued.pending.change;
            let mut objects = change.content().into_iter().flat_map(|content| content.objects());
            entries_of(change).into_iter().flatten().any(|entry| self.entries.contains(&entry))
                || objects.any(|reference| self.objects.contains(&reference.object))
        })
    }
}

/// Whether an act removes a folder that something which waits is still in: it would take that
/// along, and count as one entry.
fn covers(held: &Held, going: &Scratch<'_>, act: &[Queued]) -> bool {
    act.iter().any(|queued| match &queued.pending.change {
        Change::Remove { entry, .. } => going.below(*entry).iter().any(|id| held.entries.contains(id)),
        _ => false,
    })
}

/// Entries that a change is about.
fn entries_of(change: &Change) -> [Option<EntryId>; 2] {
    match change {
        Change::Replace { target, source, .. } => [Some(*target), Some(*source)],
        other => [other.entry(), None],
    }
}

/// Whether a change is about an entry.
pub(super) fn is_about(change: &Change, entry: EntryId) -> bool {
    entries_of(change).into_iter().flatten().any(|about| about == entry)
}

/// Where an entry has gone: the one that it was put over, by what waits.
pub(super) fn over(queue: &[Queued], entry: EntryId) -> EntryId {
    let over = |queued: &Queued| match &queued.pending.change {
        Change::Replace { target, source, .. } if *source == entry => Some(*target),
        _ => None,
    };
    queue.iter().find_map(over).unwrap_or(entry)
}

/// Whether an act fits a tree, which then has it.
fn fits(tree: &mut Scratch<'_>, act: &[Queued], stamp: &Stamp) -> bool {
    tree.settle();
    let mark = tree.mark();
    let fits = act.iter().all(|queued| apply(tree, &queued.pending.change, stamp).is_ok());
    if !fits {
        tree.go_back(mark);
    }
    fits
}

/// What of a queue waits for a person. `now` is a time since the machine started.
pub(super) fn judged(memory: &Memory, now: Duration, stamp: &Stamp) -> Waiting {
    let mut waiting = Waiting::default();
    let removes = memory.queue.iter().any(|queued| removes(&queued.pending.change));
    if !removes && memory.unreadable.is_empty() {
        return waiting;
    }
    let before = memory.removed.entries(now);
    // Of the safe as it was before this device began to remove.
    let entries = (memory.base.below(memory.base.root()).len() as u64).saturating_add(before);
    let mut removed = before;
    let mut held = Held::default();
    let mut seen = Scratch::new(&memory.base);
    let mut going = Scratch::new(&memory.base);
    let mut unreadable = Vec::new();
    for act in acts(&memory.queue) {
        let Some(group) = group_of(act) else { continue };
        let about = act.iter().find_map(|queued| match &queued.pending.change {
            Change::Remove { entry, .. } => Some(*entry),
            Change::Replace { source, .. } => Some(*source),
            _ => None,
        });
        let path = about.and_then(|entry| paths::of(&seen, entry)).unwrap_or_default();
        let taken = taken(&memory.base, &mut seen, act, stamp);
        let has = |brake| act.iter().any(|queued| queued.brake == Some(brake));
        let waits = taken > 0 && !has(Brake::Released) && {
            removed = removed.saturating_add(taken);
            has(Brake::Waits) || exceeds(removed, entries)
        };
        if waits {
            let saved = act.iter().map(|queued| queued.saved).min().unwrap_or(Timestamp(0));
            waiting.removals.push(Removal { group, path, saved, entries: taken });
            let _ = waiting.groups.insert(group);
            held.add(act);
        } else if memory.unreadable.contains_key(&group) {
            // The file, and not a folder that is put back above it.
            let sent = act.iter().find(|queued| queued.pending.change.content().is_some());
            unreadable.extend(sent.and_then(|queued| queued.pending.change.entry()));
            waiting.behind.insert(group);
            held.add(act);
        } else if (!held.is_empty() && (held.concerns(act) || covers(&held, &going, act)))
            || !fits(&mut going, act, stamp)
        {
            // One that fits nowhere is no matter of the brake: it is refused when it is sent.
            if !held.is_empty() {
                waiting.behind.insert(group);
                held.add(act);
            }
        }
    }
    // As the person sees them now.
    let shown =
        |entry: EntryId| paths::of(&seen, entry).or_else(|| paths::of(&seen, over(&memory.queue, entry)));
    waiting.unreadable = unreadable.into_iter().map(|entry| shown(entry).unwrap_or_default()).collect();
    waiting
}

#[cfg(test)]
mod tests {
    use parsec_protocol::ids::{DeviceId, SafeId, UserId};
    use parsec_protocol::safe_log::roles::Role;

    use parsec_protocol::safes::change::{Inside, Kind, RULES_VERSION};
    use parsec_protocol::safes::content_ref::{Content, References};
    use parsec_protocol::safes::fold::{Outer, fold};

    use parsec_protocol::safes::name::EntryName;
    use parsec_protocol::safes::rebase::Pending;

    use parsec_protocol::safes::state::State;
    use parsec_protocol::safes::tree::PENDING_SEQ;

    use super::*;
    use crate::session::removed::RecentlyRemoved;
    use crate::store::Standing;

    const SAFE: SafeId = SafeId::from_bytes([9; 16]);
    const NOW: Duration = Duration::from_secs(5_000);

    fn id(number: u16) -> EntryId {
        let mut id = [1; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        EntryId::from_bytes(id)
    }

    fn operation(number: u16) -> OperationId {
        let mut id = [2; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        OperationId::from_bytes(id)
    }

    fn add(entry: u16, parent: EntryId, name: &str, kind: Kind) -> Change {
        Change::Add {
            operation: None,
            entry: id(entry),
            parent,
            name: EntryName::new(name.as_bytes()).unwrap(),
            kind,
            mtime: 0,
            executable: false,
            conflict_of: None,
        }
    }

    fn file() -> Kind {
        Kind::File(Content { size: 0, digest: None, references: References::Direct(Vec::new().into()) })
    }

    fn root() -> EntryId {
        EntryId::from_bytes(*SAFE.as_bytes())
    }

    /// A safe with the folder 0, `files` files in it from 1 on, and as many beside it from 10,001.
    fn safe(inside: u16, beside: u16) -> Memory {
        let mut base = State::new(SAFE);
        let mut changes = vec![add(0, root(), "f", Kind::Folder)];
        changes.extend((1..=inside).map(|number| add(number, id(0), &number.to_string(), file())));
        let other = 10_001..10_001 + beside;
        changes.extend(other.map(|number| add(number, root(), &number.to_string(), file())));
        let inside = Inside { rules: RULES_VERSION, root: base.state_root(), changes };
        let outer = Outer {
            seq: 1,
            epoch: 0,
            user: UserId::from_bytes([3; 16]),
            device: DeviceId::from_bytes([4; 16]),
            role: Role::Owner,
            time: Timestamp(1),
            adds: &[],
            drops: &[],
            keeps: &[],
        };
        fold(&mut base, &inside, &outer).unwrap();
        Memory { base, ..Memory::new("acme".parse().unwrap(), SAFE, Standing::Accepted) }
    }

    fn stamp() -> Stamp {
        let (user, device) = (UserId::from_bytes([3; 16]), DeviceId::from_bytes([4; 16]));
        Stamp { seq: PENDING_SEQ, user, device, time: Timestamp(2) }
    }

    fn remove(number: u16, entry: u16) -> Change {
        Change::Remove { operation: operation(number), entry: id(entry) }
    }

    fn moved(number: u16, entry: u16, name: &str) -> Change {
        let name = EntryName::new(name.as_bytes()).unwrap();
        Change::Move {
            operation: operation(number),
            entry: id(entry),
            parent: root(),
            name,
            conflict_of: None,
        }
    }

    /// Which acts are removals that wait, and which wait behind them, by their place in the queue.
    fn held(memory: &mut Memory, changes: &[Change]) -> (Vec<usize>, Vec<usize>) {
        let queued = |change: &Change| Queued {
            pending: Pending::from(change.clone()),
            saved: Timestamp(1),
            adds: Vec::new(),
            brake: None,
        };
        memory.queue = changes.iter().map(queued).collect();
        of_queue(memory)
    }

    fn of_queue(memory: &Memory) -> (Vec<usize>, Vec<usize>) {
        let waiting = judged(memory, NOW, &stamp());
        let places = |wanted: &dyn Fn(OperationId) -> bool| {
            let groups = memory.queue.iter().map(|queued| queued.pending.group).enumerate();
            groups.filter(|(_, group)| wanted(*group)).map(|(place, _)| place).collect()
        };
        (places(&|group| waiting.is_removal(group)), places(&|group| waiting.behind.contains(&group)))
    }

    #[test]
    fn a_thousand_entries_go_and_one_more_waits() {
        assert_eq!(held(&mut safe(999, 5_000), &[remove(1, 0)]), (vec![], vec![]));
        assert_eq!(held(&mut safe(1_000, 5_000), &[remove(1, 0)]), (vec![0], vec![]));
    }

    #[test]
    fn twenty_entries_go_of_however_small_a_safe_and_more_than_half_of_a_larger_one_waits() {
        assert_eq!(held(&mut safe(19, 0), &[remove(1, 0)]), (vec![], vec![]));
        assert_eq!(held(&mut safe(20, 0), &[remove(1, 0)]), (vec![0], vec![]));
        assert_eq!(held(&mut safe(49, 50), &[remove(1, 0)]), (vec![], vec![]), "half of it");
        assert_eq!(held(&mut safe(50, 50), &[remove(1, 0)]), (vec![0], vec![]));
    }

    #[test]
    fn one_by_one_is_as_many() {
        let all: Vec<_> = (1..=40).map(|number| remove(number, number)).collect();
        let (waits, behind) = held(&mut safe(40, 0), &all);
        // 20 of 41, and then the rest, however small each is.
        assert_eq!((waits, behind), ((20..40).collect(), vec![]));
    }

    #[test]
    fn what_went_out_of_late_counts_and_only_for_its_time() {
        let mut memory = safe(15, 30);
        assert_eq!(held(&mut memory, &[remove(1, 0)]), (vec![], vec![]));
        memory.removed.add(20, NOW.saturating_sub(Duration::from_secs(60)));
        assert_eq!(held(&mut memory, &[remove(1, 0)]), (vec![0], vec![]), "36 of 66");
        memory.removed = RecentlyRemoved::default();
        memory.removed.add(20, NOW.saturating_sub(Duration::from_secs(700)));
        assert_eq!(held(&mut memory, &[remove(1, 0)]), (vec![], vec![]));
        // Once it waits no time lets it go, and a person does.
        memory.queue[0].brake = Some(Brake::Waits);
        assert_eq!(of_queue(&memory), (vec![0], vec![]));
        memory.queue[0].brake = Some(Brake::Released);
        memory.removed.add(5_000, NOW);
        assert_eq!(of_queue(&memory), (vec![], vec![]));
    }

    #[test]
    fn a_file_that_is_hidden_under_another_is_removed_too() {
        let target = id(10_001);
        let over = |number: u16| {
            let first = OperationId::from_bytes(*target.as_bytes());
            let base = if number == 1 { first } else { operation(number - 1) };
            Change::Replace { operation: operation(number), target, base, source: id(number) }
        };
        let all: Vec<_> = (1..=25).map(over).collect();
        assert_eq!(held(&mut safe(25, 1), &all).0, (20..25).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_never_shared_is_nobodys_loss() {
        let mut changes = vec![add(500, root(), "own", Kind::Folder)];
        changes.extend((501..=600).map(|number| add(number, id(500), &number.to_string(), file())));
        changes.push(remove(1, 500));
        assert_eq!(held(&mut safe(5, 5), &changes), (vec![], vec![]));
    }

    #[test]
    fn what_touches_the_same_waits_and_everything_else_goes() {
        let changes = [
            moved(1, 1, "kept"),                 // before it, out of the folder
            remove(2, 0),                        // too much
            add(700, root(), "f", Kind::Folder), // takes its place
            add(701, id(700), "in", file()),     // in what takes its place
            add(702, root(), "free", file()),    // another place
            moved(3, 10_001, "elsewhere"),       // another entry
            moved(4, 700, "g"),                  // what waits, moved
            add(703, root(), "g2", file()),      // another place
            remove(5, 10_002),                   // one more removal
            Change::Replace {
                operation: operation(6),
                target: id(10_003),
                base: OperationId::from_bytes(*id(10_003).as_bytes()),
                source: id(10_004),
            },
            // Of a file that is to be written over by it: in this order alone.
            Change::Attributes { operation: operation(7), entry: id(10_003), mtime: 1, executable: true },
        ];
        assert_eq!(held(&mut safe(40, 5), &changes), (vec![1, 8, 9], vec![2, 3, 6, 10]));
    }

    #[test]
    fn what_waits_is_not_taken_along_by_the_removal_of_a_folder_above_it() {
        // From the depth up, with its own time between: the folder itself is one entry only.
        let mut memory = safe(40, 5);
        assert_eq!(held(&mut memory, &[remove(1, 0)]), (vec![0], vec![]));
        let (new, over) = (30_000, id(30_000));
        let name = EntryName::new(b"f").unwrap();
        let away =
            Change::Move { operation: operation(3), entry: id(0), parent: over, name, conflict_of: None };
        let mut changes = vec![add(new, root(), "new", Kind::Folder), away];
        changes.extend((1..=40).map(|number| remove(10 + number, number)));
        changes.extend([remove(60, 0), remove(61, new), add(701, root(), "free", file())]);
        let (waits, behind) = held(&mut memory, &changes);
        // Half of all go, the other files and the folder wait, and so does the one above.
        assert_eq!(waits, (25..43).collect::<Vec<_>>());
        assert_eq!(behind, vec![43]);
        // Some time later, nothing of late counts any more.
        let mut memory = safe(1_100, 5_000);
        let queued = |change: Change, brake| Queued {
            pending: Pending::from(change),
            saved: Timestamp(1),
            adds: Vec::new(),
            brake,
        };
        memory.queue =
            vec![queued(moved(1, 0, "below"), None), queued(add(new, root(), "over", Kind::Folder), None)];
        let name = EntryName::new(b"in").unwrap();
        let into =
            Change::Move { operation: operation(2), entry: id(0), parent: over, name, conflict_of: None };
        memory.queue.push(queued(into, None));
        memory.queue.push(queued(remove(3, 0), Some(Brake::Waits)));
        memory.queue.push(queued(remove(4, new), None));
        assert_eq!(of_queue(&memory), (vec![3], vec![4]));
    }

    #[test]
    fn a_word_names_exactly_what_waits() {
        let mut memory = safe(40, 0);
        held(&mut memory, &[remove(1, 0)]);
        let one = judged(&memory, NOW, &stamp());
        assert_eq!((one.entries(), one.removals.len()), (41, 1));
        held(&mut memory, &[remove(2, 0)]);
        assert_ne!(judged(&memory, NOW, &stamp()).what(), one.what(), "another act");
        let mut less = safe(39, 0);
        held(&mut less, &[remove(1, 0)]);
        assert_ne!(judged(&less, NOW, &stamp()).what(), one.what(), "of other entries");
        assert_eq!(one.problem().map(|problem| problem.name), Some(ProblemKind::RemovalWaits));
        assert_eq!(Waiting::default().problem(), None);
    }
}

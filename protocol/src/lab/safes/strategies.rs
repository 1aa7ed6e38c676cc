//! What can be tried against a safe: by a server that lies, by a member who means harm, by both.
//!
//! Decides which there are, what each shows to whom, and who must be told. Refuses none: whoever
//! has an idea writes a function and a line here, and every test and `parsecctl lab` plays it from
//! then on.

use super::made::{BOB, CAROL, DANA, Item, LabSafe, MALLORY};
use super::reader::{Answer, Reader};
use super::{ADVERSARY, Play};
use crate::lab::organisation::NoLab;
use crate::safe_log::certificate::{Body, Change as RoleChange, Key};
use crate::safe_log::ring::{RingHead, RingPart};
use crate::safe_log::roles::Role;
use crate::safes::boxes::{is_right, make_box};
use crate::safes::change::{Change, Inside, RULES_VERSION};
use crate::safes::keys::{EpochKey, SafeKeys};
use crate::safes::ring_making::MadeRing;

/// One strategy against a safe, with its name.
#[derive(Debug, Clone, Copy)]
pub struct SafeStrategy {
    /// What to call it on the command line.
    pub name: &'static str,
    /// What it tries, in a sentence.
    pub about: &'static str,
    pub(super) attack: fn(&mut Play) -> Result<(), NoLab>,
}

/// The one of this name.
#[must_use]
pub fn safe_strategy(name: &str) -> Option<&'static SafeStrategy> {
    SAFE_STRATEGIES.iter().find(|strategy| strategy.name == name)
}

/// Makes the list.
macro_rules! strategies {
    ($($name:literal $attack:path, $about:literal;)+) => {
        /// All of them: first those of a server alone, then those that take a member.
        pub const SAFE_STRATEGIES: &[SafeStrategy] =
            &[$(SafeStrategy { name: $name, about: $about, attack: $attack }),+];
    };
}

strategies! {
    "safe-rollback" rollback,
        "the server shows a safe as it was some items ago";
    "safe-fork" fork,
        "the server shows two members two different records at one place, then hands on what comes after one of them";
    "safe-withhold" withhold,
        "the server holds a demotion back, and hands on what the demoted member writes";
    "safe-replay" replay,
        "the server appends an old promotion once more";
    "safe-reorder" reorder,
        "the server exchanges two items";
    "safe-bit-flip" bit_flip,
        "the server flips one bit of an item";
    "safe-old-ring" old_ring,
        "the server gives the ring of an earlier key for the present one";
    "safe-own-key" own_key,
        "the server seals a key of its own to everybody";
    "safe-lost-object" lost_object,
        "the server has lost the contents of a file, and gives nothing for them";
    "safe-swapped-object" swapped_object,
        "the server gives the contents of one file for another";
    "safe-cut-object" cut_object,
        "the server cuts, lengthens or changes contents";
    "safe-void-record" void_record,
        "a member writes records with nonsense inside";
    "safe-lying-root" lying_root,
        "a member says in a record that the tree before it was another one";
    "safe-drops-all" drops_all,
        "a contributor tells the server that all contents may go";
    "safe-reader-writes" reader_writes,
        "a reader writes, and the server hands it on";
    "safe-stranger" stranger,
        "somebody whom nobody has let in writes and lets themselves in, and the server hands it on";
    "safe-ghost" ghost,
        "an owner's program is brought to seal the next key to one more than the log says";
    "safe-revoked-writer" revoked_writer,
        "a revoked member signs with a view of before, and the server hands it on";
    "safe-wrong-box" wrong_box,
        "whoever makes a key gives one member a wrong box";
}

// --- the server alone

fn rollback(play: &mut Play) -> Result<(), NoLab> {
    let back = 1 + usize::try_from(play.world.rng.below(3)).unwrap_or(0);
    let count = play.world.items.len().saturating_sub(back);
    play.says(ADVERSARY, format!("shows Carol {count} items of {}", play.world.items.len()));
    play.told = vec!["Carol"];
    play.shown_to("Carol", &Answer { count, items: Vec::new() });
    Ok(())
}

fn fork(play: &mut Play) -> Result<(), NoLab> {
    let (one, other) = (record(play, DANA, "for Dana's eyes")?, record(play, BOB, "for Carol's eyes")?);
    let before = play.world.items.len();
    play.says(ADVERSARY, "shows Dana one record and Carol another, at one place");
    play.shown_to("Carol", &Answer { count: before + 1, items: vec![Item::Record(other)] });
    play.world.append(Item::Record(one))?;
    let items = play.behind(before);
    play.shown_to("Dana", &Answer { count: before + 1, items });
    // What Bob writes goes on from what he was shown: the same as Dana.
    play.world.put(BOB, "after the fork", b"Bob goes on")?;
    play.says("Bob", "writes on, behind what he was shown");
    let items = play.behind(before + 1);
    play.told = vec!["Carol"];
    play.foreign = vec!["after the fork"];
    let answer = Answer { count: before + 2, items };
    play.says(ADVERSARY, "hands Bob's next record on to Carol");
    play.shown_to("Carol", &answer);
    // Two trees are what a fork is; the one who crosses over is told, and takes nothing more.
    play.readers.retain(|reader| reader.name == "Carol");
    Ok(())
}

fn withhold(play: &mut Play) -> Result<(), NoLab> {
    let user = play.world.person(BOB)?.user;
    play.world.rekey(&[(BOB, Some(Role::Reader))])?;
    play.says("Dana", "makes Bob a reader, with the next key");
    let before = play.world.items.len();
    // Behind the demotion, as a contributor's program never would.
    let bad = record(play, BOB, "written too late")?;
    play.foreign = vec!["written too late"];
    play.told = vec!["Carol"];
    play.says(ADVERSARY, "holds the demotion back from Carol, and hands Bob's record on");
    let count = before + 1;
    play.shown_to("Carol", &Answer { count, items: vec![Item::Record(bad)] });
    let role = play.readers.iter().find(|reader| reader.name == "Carol").and_then(|reader| {
        play.world.people.iter().find(|person| person.user == user).and_then(|bob| reader.role_of(bob))
    });
    let known = if role == Some(Role::Contributor) { "still takes Bob for a contributor" } else { "knows" };
    play.says("Carol", format!("{known}: news held back look like no news"));
    Ok(())
}

fn replay(play: &mut Play) -> Result<(), NoLab> {
    let promotion = play.world.items.get(1).cloned().ok_or(NoLab::BadSafe)?;
    play.world.rekey(&[(BOB, None)])?;
    play.says("Dana", "takes Bob out, with the next key");
    play.says(ADVERSARY, "appends the certificate by which he was let in, once more");
    play.told = vec!["Dana", "Carol"];
    play.shown(&[promotion]);
    let bob = play.world.person(BOB)?;
    play.taken += play.readers.iter().filter(|reader| reader.role_of(bob).is_some()).count();
    Ok(())
}

fn reorder(play: &mut Play) -> Result<(), NoLab> {
    let before = play.world.items.len();
    play.world.put(DANA, "first", b"first")?;
    play.world.put(BOB, "second", b"second")?;
    let mut items = play.behind(before);
    items.swap(0, 1);
    play.says(ADVERSARY, "hands the second record out before the first");
    play.told = vec!["Dana", "Carol"];
    for name in ["Dana", "Carol"] {
        play.shown_to(name, &Answer { count: before + 2, items: items.clone() });
    }
    // Once it is honest again, all go on.
    play.says(ADVERSARY, "is honest again");
    play.honest();
    play.taken += play.readers.iter().filter(|reader| !reader.has("second")).count();
    Ok(())
}

fn bit_flip(play: &mut Play) -> Result<(), NoLab> {
    let before = play.world.items.len();
    play.world.put(BOB, "true", b"as Bob wrote it")?;
    let mut items = play.behind(before);
    if let Some(Item::Record(bytes)) = items.first_mut() {
        let at = usize::try_from(play.world.rng.below(bytes.len() as u64)).unwrap_or(0);
        let bit = 1 << play.world.rng.below(8);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= bit;
        }
        play.says(ADVERSARY, format!("flips a bit in byte {at} of Bob's record"));
    }
    play.told = vec!["Dana", "Carol"];
    play.foreign = vec!["true"];
    for name in ["Dana", "Carol"] {
        play.shown_to(name, &Answer { count: before + 1, items: items.clone() });
    }
    Ok(())
}

/// Carol's device before it was given the key of the epoch that has just begun.
fn before_the_key(play: &mut Play) -> Result<(Reader, u64), NoLab> {
    play.world.rekey(&[])?;
    play.says("Dana", "makes the next key");
    let epoch = play.world.rings.len() as u64 - 1;
    let carol = Reader::of(&play.world, CAROL)?.without_the_newest_key(&play.world);
    play.readers.retain(|reader| reader.name != "Carol");
    Ok((carol, epoch))
}

fn old_ring(play: &mut Play) -> Result<(), NoLab> {
    // Two keys: the ring of the first of them has a box for Carol, too.
    play.world.rekey(&[])?;
    let (mut carol, epoch) = before_the_key(play)?;
    let old = ring(play, epoch - 1)?;
    play.says(ADVERSARY, "gives Carol the ring of the key before");
    let person = play.world.person(CAROL)?;
    play.taken += usize::from(carol.opens_ring(person, epoch, &old.0, &old.1));
    let true_one = ring(play, epoch)?;
    let opened = carol.opens_ring(play.world.person(CAROL)?, epoch, &true_one.0, &true_one.1);
    play.taken += usize::from(!opened);
    play.told = vec!["Carol"];
    play.readers.push(carol);
    Ok(())
}

fn own_key(play: &mut Play) -> Result<(), NoLab> {
    let (mut carol, epoch) = before_the_key(play)?;
    let users: Vec<_> = play.world.people.iter().take(3).map(|person| person.user).collect();
    let key = SafeKeys::draw(&mut play.world.rng)?;
    let made = play.world.ring_of(&key, &users, epoch)?;
    play.says(ADVERSARY, "gives Carol a ring with a key of its own, sealed to all members");
    let part = made.parts.first().map(|(_, part)| part.clone()).unwrap_or_default();
    let person = play.world.person(CAROL)?;
    play.taken += usize::from(carol.opens_ring(person, epoch, &made.head, &part));
    play.told = vec!["Carol"];
    play.readers.push(carol);
    Ok(())
}

/// Head and part of the ring of an epoch.
fn ring(play: &Play, epoch: u64) -> Result<(Vec<u8>, Vec<u8>), NoLab> {
    let made = usize::try_from(epoch).ok().and_then(|at| play.world.rings.get(at)).ok_or(NoLab::BadSafe)?;
    let part = made.parts.first().map(|(_, part)| part.clone()).ok_or(NoLab::BadSafe)?;
    Ok((made.head.clone(), part))
}

/// Carol's device asks for a file, and the server gives what `bend` makes of its contents.
fn fetched(play: &mut Play, bend: impl Fn(&LabSafe, Vec<u8>) -> Vec<u8>) {
    let world = &play.world;
    for reader in play.readers.iter_mut().filter(|reader| reader.name == "Carol") {
        let out = reader.lets_out("notes.txt", |object| {
            bend(world, world.objects.get(&object).cloned().unwrap_or_default())
        });
        play.taken += usize::from(out.is_some_and(|out| out != b"Bob's notes"));
    }
    play.told = vec!["Carol"];
}

fn lost_object(play: &mut Play) -> Result<(), NoLab> {
    play.says(ADVERSARY, "gives nothing for the contents of notes.txt");
    fetched(play, |_, _| Vec::new());
    Ok(())
}

fn swapped_object(play: &mut Play) -> Result<(), NoLab> {
    play.says(ADVERSARY, "gives Carol the contents of plans.odt for notes.txt");
    fetched(play, |world, asked| {
        world.objects.values().find(|object| **object != asked).cloned().unwrap_or_default()
    });
    Ok(())
}

fn cut_object(play: &mut Play) -> Result<(), NoLab> {
    let what = play.world.rng.below(3);
    let at = usize::try_from(play.world.rng.below(20)).unwrap_or(0);
    let said = match what {
        0 => "cuts the contents off",
        1 => "lengthens them",
        _ => "flips a bit of them",
    };
    play.says(ADVERSARY, said);
    fetched(play, |_, mut bytes| {
        match what {
            0 => bytes.truncate(at),
            1 => bytes.push(0),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1;
                }
            }
        }
        bytes
    });
    Ok(())
}

// --- with a member

/// A record by somebody with a file in it, which stands next and that nobody has yet.
fn record(play: &mut Play, by: usize, name: &str) -> Result<Vec<u8>, NoLab> {
    let (content, adds) = play.world.seal(b"whatever")?;
    let change = play.world.file(name, content)?;
    let outside = play.world.outside(by, adds)?;
    play.world.record(by, outside, vec![change])
}

fn void_record(play: &mut Play) -> Result<(), NoLab> {
    let what = play.world.rng.below(3);
    let outside = play.world.outside(BOB, Vec::new())?;
    let (content, _) = play.world.seal(b"an object that no record added")?;
    let unknown = play.world.file("of nothing", content)?;
    let inside =
        |play: &mut Play, rules, changes| Inside { rules, root: play.world.state.state_root(), changes };
    let inside = match what {
        0 => inside(play, RULES_VERSION + 7, Vec::new()),
        1 => inside(play, RULES_VERSION, vec![unknown]),
        _ => {
            let operation = crate::ids::OperationId::from_bytes([1; 16]);
            inside(play, RULES_VERSION, vec![Change::Retention { operation, days: 7 }])
        }
    };
    let bad = play.world.record_of(BOB, outside, &inside)?;
    play.says("Bob", "signs a record in its place, with nonsense inside");
    play.told = vec!["Dana", "Carol"];
    play.foreign = vec!["of nothing"];
    play.shown(&[Item::Record(bad)]);
    Ok(())
}

fn lying_root(play: &mut Play) -> Result<(), NoLab> {
    let (content, adds) = play.world.seal(b"true contents")?;
    let change = play.world.file("beside a lie", content)?;
    let outside = play.world.outside(BOB, adds)?;
    let inside = Inside { rules: RULES_VERSION, root: LabSafe::nothing(), changes: vec![change] };
    let bad = play.world.record_of(BOB, outside, &inside)?;
    play.says("Bob", "writes a file, and says that the tree before was another one");
    play.told = vec!["Dana", "Carol"];
    play.shown(&[Item::Record(bad)]);
    // It decides nothing: the file is there for all.
    play.taken += play.readers.iter().filter(|reader| !reader.has("beside a lie")).count();
    Ok(())
}

fn drops_all(play: &mut Play) -> Result<(), NoLab> {
    let mut outside = play.world.outside(BOB, Vec::new())?;
    outside.drops = play.world.objects.keys().copied().collect();
    let bad = play.world.record(BOB, outside, Vec::new())?;
    play.says("Bob", "signs a record that lets all contents go");
    play.told = vec!["Dana", "Carol"];
    play.shown(&[Item::Record(bad)]);
    Ok(())
}

fn reader_writes(play: &mut Play) -> Result<(), NoLab> {
    let bad = record(play, CAROL, "by a reader")?;
    play.says("Carol", "signs a record, and the server hands it on");
    play.foreign = vec!["by a reader"];
    play.told = vec!["Dana"];
    play.shown(&[Item::Record(bad)]);
    Ok(())
}

fn stranger(play: &mut Play) -> Result<(), NoLab> {
    let bad = record(play, MALLORY, "by a stranger")?;
    let user = play.world.person(MALLORY)?.user;
    let changes = vec![RoleChange { user, role: Some(Role::Owner) }];
    let enters = play.world.certificate(MALLORY, Body::Changed { changes, key: None, boxes: None })?;
    play.says(
        ADVERSARY,
        "hands Mallory's record on, and the certificate by which she makes herself an owner",
    );
    play.foreign = vec!["by a stranger"];
    play.told = vec!["Dana", "Carol"];
    play.shown(&[Item::Record(bad)]);
    play.shown(&[Item::Certificate(enters)]);
    let mallory = play.world.person(MALLORY)?;
    play.taken += play.readers.iter().filter(|reader| reader.role_of(mallory).is_some()).count();
    Ok(())
}

fn ghost(play: &mut Play) -> Result<(), NoLab> {
    let users: Vec<_> = play.world.people.iter().map(|person| person.user).collect();
    let epoch = play.world.rings.len() as u64;
    let key = SafeKeys::draw(&mut play.world.rng)?;
    let made = play.world.ring_of(&key, &users, epoch)?;
    let named = Key { epoch, key_check: made.key_check, list: made.list, ring: made.ring, lost: 0 };
    let body = Body::Changed { changes: Vec::new(), key: Some(named), boxes: None };
    let bad = play.world.certificate(DANA, body)?;
    play.says("Dana", "a program of hers signs the next key for everybody in the safe, and for Mallory");
    play.told = vec!["Dana", "Carol"];
    play.shown(&[Item::Certificate(bad)]);
    Ok(())
}

fn revoked_writer(play: &mut Play) -> Result<(), NoLab> {
    let bad = record(play, BOB, "after the revocation")?;
    play.world.revoke(BOB)?;
    play.says("Alice", "revokes Bob in the organisation");
    // Both who read have heard of it, and have asked the server with all they know.
    for reader in &mut play.readers {
        reader.learns(&play.world);
    }
    play.honest();
    play.says(ADVERSARY, "hands on what Bob's device signed with a view of before");
    play.foreign = vec!["after the revocation"];
    play.told = vec!["Dana", "Carol"];
    play.shown(&[Item::Record(bad)]);
    Ok(())
}

fn wrong_box(play: &mut Play) -> Result<(), NoLab> {
    let carol = play.world.person(CAROL)?;
    let (user, to) = (carol.user, carol.user_seed.encryption_key());
    let epoch = play.world.rings.len() as u64;
    play.says(ADVERSARY, "in Dana's program seals another key to Carol, and signs for that ring");
    play.world.rekey_with(&[], |world, made| {
        let mut head = RingHead::decode(&made.head).map_err(|_| NoLab::BadSafe)?;
        let part = made.parts.first().and_then(|(_, part)| RingPart::decode(part).ok());
        let mut part = part.ok_or(NoLab::BadSafe)?;
        let (_, at) = head.list.place_of(&user).ok_or(NoLab::BadSafe)?;
        let other = SafeKeys::draw(&mut world.rng)?;
        let acme = world.organisation.log.organisation().clone();
        let of = EpochKey::new(&acme, &world.safe, epoch, &other);
        *part.0.get_mut(at).ok_or(NoLab::BadSafe)? = Some(make_box(&of, user, &to).into());
        head.parts = vec![part.hash()];
        let parts = vec![(part.hash(), part.encode())];
        Ok(MadeRing { head: head.encode(), ring: head.hash(), parts, ..made })
    })?;
    let mut carol = Reader::of(&play.world, CAROL)?.without_the_newest_key(&play.world);
    play.readers.retain(|reader| reader.name != "Carol");
    let (head, part) = ring(play, epoch)?;
    let opened = carol.opens_ring(play.world.person(CAROL)?, epoch, &head, &part);
    play.taken += usize::from(opened);
    // Every holder can make the box, so every holder sees that it is another one.
    let key = play.world.keys.at(epoch).ok_or(NoLab::BadSafe)?;
    let to = play.world.person(CAROL)?.user_seed.encryption_key();
    let given = RingPart::decode(&part).map_err(|_| NoLab::BadSafe)?.0;
    let seen = given.iter().flatten().any(|sealed| is_right(&key, user, &to, sealed));
    let right = make_box(&key, user, &to);
    play.taken += usize::from(seen);
    play.says(
        "Bob",
        "makes Carol's box from the key, sees that the ring has another one, and gives the right one",
    );
    let helped = carol.opens_box(play.world.person(CAROL)?, epoch, &right);
    play.taken += usize::from(!helped);
    play.told = vec!["Carol"];
    play.readers.push(carol);
    Ok(())
}

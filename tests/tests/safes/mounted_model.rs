//! A mounted safe beside a model of a file system that is a few lines long: random acts of
//! programs, changes on another device, and daemons that are killed.
//!
//! After each act both say the same, errors included. What another device has changed is here, too.
//! After a kill each file is what it was when it was closed or synced last, and every name is where
//! the call that put it there left it; nothing else is there. With `PARSEC_FULL` 100,000 acts. One
//! seed alone: `PARSEC_MODEL_SEED=N`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::rc::Rc;

use parsec_protocol::control::{
    DeviceSelector, SafeConfirm, SafeConfirmed, SafeDecision, SafeStatus, SafeStatusResult, method,
};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::fuzz::mutator::Dice;
use parsec_tests::metrics::runs;
use parsec_tests::mounted::{Mounted, is_possible};
use parsec_tests::process::kill_by_id;
use parsec_tests::safes::{Safe, create, is_well};

use super::mounted::until;
use super::{PLANS, enrol_own};

/// Acts between two changes on the other device, and between two kills.
const ACTS_ELSEWHERE: u64 = 150;
const ACTS_KILL: u64 = 700;

/// A file as programs see it, and as it was saved last.
#[derive(Debug, Default)]
struct Inode {
    now: Vec<u8>,
    saved: Option<Vec<u8>>,
}

impl Inode {
    fn save(&mut self) {
        self.saved = Some(self.now.clone());
    }
}

type Shared = Rc<RefCell<Inode>>;

#[derive(Debug, Clone)]
enum Node {
    Folder,
    File(Shared),
}

/// The file system: what stands under each path, and the files that are open.
#[derive(Debug, Default)]
struct Model {
    nodes: BTreeMap<String, Node>,
    open: [Option<Shared>; 3],
}

type Outcome = Result<Vec<u8>, ErrorKind>;

/// The folder that a path is in; none for one in the root.
fn above(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder)
}

impl Model {
    fn reached(&self, path: &str) -> Result<(), ErrorKind> {
        let folders = path.match_indices('/').map(|(end, _)| &path[..end]);
        for folder in folders {
            match self.nodes.get(folder) {
                Some(Node::Folder) => {}
                Some(Node::File(_)) => return Err(ErrorKind::NotADirectory),
                None => return Err(ErrorKind::NotFound),
            }
        }
        Ok(())
    }

    fn has_children(&self, path: &str) -> bool {
        self.nodes.keys().any(|other| above(other) == Some(path))
    }

    fn file(&mut self, path: &str, creates: bool) -> Result<Shared, ErrorKind> {
        self.reached(path)?;
        match self.nodes.get(path) {
            Some(Node::File(file)) => Ok(Rc::clone(file)),
            Some(Node::Folder) => Err(ErrorKind::IsADirectory),
            None if !creates => Err(ErrorKind::NotFound),
            None => {
                let file = Shared::default();
                self.nodes.insert(path.to_owned(), Node::File(Rc::clone(&file)));
                Ok(file)
            }
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), ErrorKind> {
        self.reached(from)?;
        self.reached(to)?;
        let node = self.nodes.get(from).cloned().ok_or(ErrorKind::NotFound)?;
        if from == to {
            return Ok(());
        }
        let is_folder = matches!(node, Node::Folder);
        if is_folder && to.starts_with(&format!("{from}/")) {
            return Err(ErrorKind::InvalidInput);
        }
        match (is_folder, self.nodes.get(to)) {
            (true, Some(Node::File(_))) => return Err(ErrorKind::NotADirectory),
            (true, Some(Node::Folder)) if self.has_children(to) => {
                return Err(ErrorKind::DirectoryNotEmpty);
            }
            (false, Some(Node::Folder)) if self.has_children(to) && from.starts_with(&format!("{to}/")) => {
                return Err(ErrorKind::DirectoryNotEmpty);
            }
            (false, Some(Node::Folder)) => return Err(ErrorKind::IsADirectory),
            // A new file that is renamed over a saved one is saved by it.
            (false, Some(Node::File(over))) if over.borrow().saved.is_some() => {
                if let Node::File(file) = &node
                    && file.borrow().saved.is_none()
                {
                    file.borrow_mut().save();
                }
            }
            _ => {}
        }
        let moved: Vec<String> = self
            .nodes
            .keys()
            .filter(|path| *path == from || path.starts_with(&format!("{from}/")))
            .cloned()
            .collect();
        for path in moved {
            let node = self.nodes.remove(&path).unwrap();
            self.nodes.insert(format!("{to}{}", &path[from.len()..]), node);
        }
        Ok(())
    }

    /// What is there when everybody has been killed.
    fn killed(&mut self) {
        self.open = [const { None }; 3];
        self.nodes.retain(|_, node| match node {
            Node::Folder => true,
            Node::File(file) => file.borrow().saved.is_some(),
        });
        for node in self.nodes.values() {
            if let Node::File(file) = node {
                let mut file = file.borrow_mut();
                file.now = file.saved.clone().unwrap();
            }
        }
    }
}

/// One act, in numbers: the same for both.
#[derive(Debug, Clone, Copy)]
struct Act {
    what: usize,
    one: &'static str,
    other: &'static str,
    slot: usize,
    place: usize,
    length: usize,
}

const PATHS: [&str; 11] = ["a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "e", "e/a", "e/b"];

impl Act {
    fn drawn(dice: &mut Dice) -> Self {
        let place = match dice.below(3) {
            0 => dice.below(100),
            1 => 524_288 - 50 + dice.below(100),
            _ => dice.below(1_200_000),
        };
        let length = if dice.below(15) == 0 { dice.below(700_000) } else { dice.below(3_000) };
        let (one, other) = (PATHS[dice.below(PATHS.len())], PATHS[dice.below(PATHS.len())]);
        Self { what: dice.below(18), one, other, slot: dice.below(3), place, length }
    }

    fn bytes(self) -> Vec<u8> {
        (0..self.length).map(|at| (at / 7) as u8 ^ (at % 251) as u8 ^ (self.length % 256) as u8).collect()
    }

    fn on_model(self, model: &mut Model) -> Outcome {
        let Self { one, other, slot, place, length, .. } = self;
        let nothing = |()| Vec::new();
        match self.what {
            0 => {
                model.reached(one)?;
                if model.nodes.contains_key(one) {
                    return Err(ErrorKind::AlreadyExists);
                }
                model.nodes.insert(one.to_owned(), Node::Folder);
                Ok(Vec::new())
            }
            1 => {
                model.reached(one)?;
                match model.nodes.get(one) {
                    Some(Node::Folder) if model.has_children(one) => Err(ErrorKind::DirectoryNotEmpty),
                    Some(Node::Folder) => Ok(model.nodes.remove(one).map(drop)).map(|_| Vec::new()),
                    Some(Node::File(_)) => Err(ErrorKind::NotADirectory),
                    None => Err(ErrorKind::NotFound),
                }
            }
            2 => {
                model.reached(one)?;
                match model.nodes.get(one) {
                    Some(Node::File(_)) => Ok(model.nodes.remove(one).map(drop)).map(|_| Vec::new()),
                    Some(Node::Folder) => Err(ErrorKind::IsADirectory),
                    None => Err(ErrorKind::NotFound),
                }
            }
            3 | 4 => model.rename(one, other).map(nothing),
            5 | 6 => {
                let file = model.file(one, true)?;
                file.borrow_mut().now = self.bytes();
                file.borrow_mut().save();
                Ok(Vec::new())
            }
            7 | 8 => {
                let file = model.file(one, true)?;
                close(model.open[slot].replace(file));
                Ok(Vec::new())
            }
            9 => {
                close(model.open[slot].take());
                Ok(Vec::new())
            }
            10 | 11 => {
                if let (Some(file), true) = (&model.open[slot], length > 0) {
                    let now = &mut file.borrow_mut().now;
                    let end = place + length;
                    now.resize(now.len().max(end), 0);
                    now[place..end].copy_from_slice(&self.bytes());
                }
                Ok(Vec::new())
            }
            12 => {
                if let Some(file) = &model.open[slot] {
                    file.borrow_mut().now.resize(place, 0);
                }
                Ok(Vec::new())
            }
            13 => {
                if let Some(file) = &model.open[slot] {
                    file.borrow_mut().save();
                }
                Ok(Vec::new())
            }
            14 => {
                let file = model.file(one, false)?;
                file.borrow_mut().now.extend(self.bytes());
                file.borrow_mut().save();
                Ok(Vec::new())
            }
            15 => Ok(model.open[slot].as_ref().map_or_else(Vec::new, |file| {
                let now = &file.borrow().now;
                now[place.min(now.len())..(place + length).min(now.len())].to_vec()
            })),
            // Whoever closes it saves it, a reader too.
            _ => model.file(one, false).map(|file| {
                file.borrow_mut().save();
                file.borrow().now.clone()
            }),
        }
    }

    fn on_mount(self, top: &Path, open: &mut [Option<File>; 3]) -> Outcome {
        let Self { slot, place, length, .. } = self;
        let (path, target) = (top.join(self.one), top.join(self.other));
        let done = match self.what {
            0 => fs::create_dir(&path),
            1 => fs::remove_dir(&path),
            2 => fs::remove_file(&path),
            3 | 4 => fs::rename(&path, &target),
            5 | 6 => fs::write(&path, self.bytes()),
            7 | 8 => OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map(|file| drop(open[slot].replace(file))),
            9 => {
                open[slot] = None;
                Ok(())
            }
            10 | 11 => {
                open[slot].as_ref().map_or(Ok(()), |file| file.write_all_at(&self.bytes(), place as u64))
            }
            12 => open[slot].as_ref().map_or(Ok(()), |file| file.set_len(place as u64)),
            13 => open[slot].as_ref().map_or(Ok(()), File::sync_all),
            14 => {
                OpenOptions::new().append(true).open(&path).and_then(|mut file| file.write_all(&self.bytes()))
            }
            15 => {
                let mut read = vec![0; length];
                let count = open[slot].as_ref().map_or(Ok(0), |file| file.read_at(&mut read, place as u64));
                read.truncate(count.map_err(|error| error.kind())?);
                return Ok(read);
            }
            _ => return fs::read(&path).map_err(|error| error.kind()),
        };
        done.map(|()| Vec::new()).map_err(|error| error.kind())
    }
}

/// A program has closed a file: all of it is saved, whoever has written it.
fn close(file: Option<Shared>) {
    if let Some(file) = file {
        file.borrow_mut().save();
    }
}

/// What is in a folder, but for what stands still: contents of files, nothing of folders.
fn seen(top: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut open = vec![top.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            if name == "still" {
                continue;
            }
            let contents = if path.is_dir() {
                open.push(path);
                None
            } else {
                Some(fs::read(&path).unwrap())
            };
            found.insert(name, contents);
        }
    }
    found
}

fn wanted(model: &Model) -> BTreeMap<String, Option<Vec<u8>>> {
    let contents = |node: &Node| match node {
        Node::Folder => None,
        Node::File(file) => Some(file.borrow().now.clone()),
    };
    model.nodes.iter().map(|(path, node)| (path.clone(), contents(node))).collect()
}

fn same(top: &Path, model: &Model, when: &str) {
    let (found, wanted) = (seen(top), wanted(model));
    // All of them were opened, and closed.
    for node in model.nodes.values() {
        if let Node::File(file) = node {
            file.borrow_mut().save();
        }
    }
    let short = |all: &BTreeMap<String, Option<Vec<u8>>>| {
        let length = |contents: &Option<Vec<u8>>| contents.as_ref().map(Vec::len);
        all.iter().map(|(path, contents)| (path.clone(), length(contents))).collect::<Vec<_>>()
    };
    assert!(found == wanted, "{when}: {:?} {:?}", short(&found), short(&wanted));
}

fn safe(device: &Device) -> Safe<'_> {
    Safe { device, name: PLANS }
}

/// Everything goes out; what waits for a person gets their word.
fn shared(device: &Device) {
    loop {
        let asked = SafeStatus { select: DeviceSelector::default(), safe: Some(PLANS.to_owned()) };
        let status: SafeStatusResult = device.call(method::SAFE_STATUS, asked).unwrap();
        if let Some(held) = status.safes.into_iter().next().and_then(|safe| safe.removals) {
            let (select, decision) = (DeviceSelector::default(), SafeDecision::Remove);
            let asked = SafeConfirm { select, safe: PLANS.to_owned(), decision, what: held.what };
            let _: SafeConfirmed = device.call(method::SAFE_CONFIRM, asked).unwrap();
        }
        if safe(device).try_sync().unwrap().done {
            return;
        }
    }
}

/// Both devices have what the other one has saved.
fn carried(from: &Device, to: &Device) {
    shared(from);
    shared(to);
}

#[test]
fn a_model_agrees_with_every_act_whoever_else_writes_and_whatever_is_killed() {
    const NAME: &str = "a_model_agrees_with_every_act_whoever_else_writes_and_whatever_is_killed";
    if !is_possible(NAME) {
        return;
    }
    let mut fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let laptop = enrol_own(&fixture, &fixture.alice, "laptop", ALICE_AGAIN);
    let id = safe(&fixture.alice).show().unwrap().safe.safe;
    let _ = laptop.until_safe(|found| found.safe == id && is_well(found));
    let here = Mounted::new(&fixture.alice, PLANS);
    // Beside so many, what is removed here is seldom an alarm.
    fs::create_dir(here.path("still")).unwrap();
    (0..300).for_each(|number| fs::create_dir(here.path(&format!("still/{number}"))).unwrap());
    let seed = std::env::var("PARSEC_MODEL_SEED").map_or(1, |seed| seed.parse().unwrap());
    let (mut dice, mut model, mut open) = (Dice::new(seed), Model::default(), [None, None, None]);
    for step in 1..=runs(1_500, 100_000) {
        let act = Act::drawn(&mut dice);
        let (found, wanted) = (act.on_mount(here.folder(), &mut open), act.on_model(&mut model));
        assert!(
            found == wanted,
            "seed {seed}, step {step}, {act:?}: {:?} {:?}",
            found.map(|read| read.len()),
            wanted.map(|read| read.len())
        );
        if step % 50 == 0 {
            same(here.folder(), &model, &format!("seed {seed}, step {step}"));
        }
        if step % ACTS_ELSEWHERE == 0 {
            open = [None, None, None];
            (0..3).for_each(|slot| close(model.open[slot].take()));
            elsewhere(&mut model, &mut dice, (&fixture.alice, &laptop));
            until(|| seen(here.folder()) == self::wanted(&model));
        }
        if step % ACTS_KILL == 0 {
            for attendant in here.attendants() {
                kill_by_id(attendant);
            }
            fixture.alice.kill();
            open = [None, None, None];
            model.killed();
            fixture.alice.restart();
            let _ = fixture.alice.unlock(ALICE_PASSWORD).unwrap();
            // On the same folder: what is dead there is taken away.
            let _ = fixture.alice.ctl(&["safe", "mount", PLANS, here.folder().to_str().unwrap()]).well();
            same(here.folder(), &model, &format!("seed {seed}, after the kill at step {step}"));
        }
    }
    drop(open);
    carried(&fixture.alice, &laptop);
    let there = Mounted::new(&laptop, PLANS);
    until(|| seen(there.folder()) == wanted(&model));
}

/// The other device changes something.
fn elsewhere(model: &mut Model, dice: &mut Dice, (here, there): (&Device, &Device)) {
    carried(here, there);
    let folders: Vec<String> = model
        .nodes
        .iter()
        .filter(|(_, node)| matches!(node, Node::Folder))
        .map(|(path, _)| path.clone())
        .collect();
    let files: Vec<String> = model
        .nodes
        .iter()
        .filter(|(_, node)| matches!(node, Node::File(_)))
        .map(|(path, _)| path.clone())
        .collect();
    let bytes = vec![u8::try_from(dice.below(256)).unwrap(); dice.below(600_000)];
    let path = match files.get(dice.below(files.len() + 1)) {
        Some(file) => file.clone(),
        None => match folders.get(dice.below(folders.len() + 1)) {
            Some(folder) => format!("{folder}/from elsewhere"),
            None => "from elsewhere".to_owned(),
        },
    };
    let file = Inode { now: bytes.clone(), saved: Some(bytes.clone()) };
    match model.nodes.get(&path) {
        Some(Node::Folder) => {}
        Some(Node::File(_)) | None => {
            let _ = safe(there).put_shared(&format!("/{path}"), &bytes);
            model.nodes.insert(path, Node::File(Rc::new(RefCell::new(file))));
        }
    }
    if dice.below(2) == 0
        && let Some(from) = files.get(dice.below(files.len().max(1)))
        && !model.nodes.contains_key("moved elsewhere")
    {
        let _ = safe(there).rename(&format!("/{from}"), "/moved elsewhere").unwrap();
        model.rename(from, "moved elsewhere").unwrap();
    }
    carried(there, here);
}

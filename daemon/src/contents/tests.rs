//! Contents through real files, pipes and sockets: what comes back, and what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use parsec_protocol::codec;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{ObjectId, OrganisationId, SafeId};
use parsec_protocol::keys::SafeKey;
use parsec_protocol::safes::content::{chunks, open_page};
use parsec_protocol::safes::content_ref::{CHUNK_BYTES, Content, PAGE_REFERENCES, Reference, References};
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsec_protocol::safes::object::{Hashed, ObjectKind, seal};
use tokio_util::task::TaskTracker;

use super::get::{self, Objects};
use super::many;
use super::open_file::{FileError, OpenFile};
use super::put::{self, PutError, PutKeys, Stage, Taken};
use super::stop;
use super::unchanged::{Earlier, Held};
use crate::os::entropy;
use crate::store::{StagedObject, StoreError};

fn keys() -> SafeKeys {
    let (organisation, safe): (OrganisationId, _) = ("acme".parse().unwrap(), SafeId::from_bytes([1; 16]));
    let mut keys = SafeKeys::new(organisation.clone(), safe);
    for epoch in 0..2 {
        let key = SafeKey::from_bytes(&mut [7 + u8::try_from(epoch).unwrap(); 32]);
        let check = EpochKey::new(&organisation, &safe, epoch, &key).check();
        keys.insert(epoch, key, &check).unwrap();
    }
    keys
}

/// Objects in memory; as a stage it may be full, as a source it may lie.
#[derive(Default)]
struct Memory {
    objects: Mutex<BTreeMap<ObjectId, Vec<u8>>>,
    /// Bytes that fit; none: any number.
    room: Option<usize>,
    /// The most that were asked for at once.
    most: Mutex<usize>,
}

impl Stage for &Memory {
    fn stage(&mut self, objects: &[StagedObject]) -> Result<(), StoreError> {
        let mut all = self.objects.lock().unwrap();
        for object in objects {
            let held: usize = all.values().map(Vec::len).sum();
            if self.room.is_some_and(|room| held + object.sealed.len() > room) {
                return Err(StoreError::DiskFull);
            }
            all.insert(object.object, object.sealed.clone());
        }
        Ok(())
    }

    fn forget(&mut self, objects: &[ObjectId]) -> Result<(), StoreError> {
        let mut all = self.objects.lock().unwrap();
        objects.iter().for_each(|object| drop(all.remove(object)));
        Ok(())
    }
}

impl Objects for Memory {
    async fn fetch(&self, wanted: &[Reference], most: usize) -> Result<Vec<Hashed>, Problem> {
        let all = self.objects.lock().unwrap();
        let bytes: usize = wanted.iter().filter_map(|one| all.get(&one.object)).map(Vec::len).sum();
        assert!(bytes <= most, "{bytes} bytes where {most} were to come");
        let mut largest = self.most.lock().unwrap();
        *largest = bytes.max(*largest);
        Ok(wanted.iter().filter_map(|one| all.get(&one.object)).map(|one| Hashed::of(one.clone())).collect())
    }
}

fn put_from(memory: &Memory, file: impl Into<OwnedFd>, expected: Option<u64>) -> Result<Taken, PutError> {
    let (_stopper, stop) = stop::stop().unwrap();
    let (keys, mut stage) = (keys(), memory);
    let with = PutKeys { present: keys.at(0).unwrap(), first: keys.at(0) };
    let file = OpenFile::to_read(file.into(), stop)?;
    put::put(&file, expected, with, None, &mut stage, &mut entropy::System)
}

/// What of the earlier content is on the device.
#[derive(Default)]
struct Here {
    objects: BTreeMap<ObjectId, Vec<u8>>,
    /// What no accepted record has added.
    waits: BTreeSet<ObjectId>,
}

impl Here {
    fn all_of(memory: &Memory) -> Self {
        Self { objects: memory.objects.lock().unwrap().clone(), waits: BTreeSet::new() }
    }
}

impl Held for Here {
    fn is_accepted(&self, object: ObjectId) -> bool {
        !self.waits.contains(&object)
    }

    fn read(&self, reference: &Reference, into: &mut Vec<u8>) -> bool {
        into.clear();
        self.objects.get(&reference.object).map(|sealed| into.extend_from_slice(sealed)).is_some()
    }
}

/// Puts contents over others, under the key of an epoch.
fn put_over(
    (memory, here, epoch): (&Memory, &Here, u64),
    over: &Content,
    file: impl Into<OwnedFd>,
    expected: Option<u64>,
) -> Result<Taken, PutError> {
    let (_stopper, stop) = stop::stop().unwrap();
    let (keys, mut stage) = (keys(), memory);
    let with = PutKeys { present: keys.at(epoch).unwrap(), first: keys.at(0) };
    let file = OpenFile::to_read(file.into(), stop)?;
    let earlier = Earlier::of(over, &keys, epoch, here);
    put::put(&file, expected, with, earlier, &mut stage, &mut entropy::System)
}

async fn get_into(memory: &Memory, content: &Content, file: impl Into<OwnedFd>) -> Result<u64, Problem> {
    get::get(&TaskTracker::new(), memory, Arc::new(keys()), content, file.into()).await
}

/// Bytes that repeat nowhere within a chunk.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn written(mut file: File) -> Vec<u8> {
    let mut all = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut all).unwrap();
    all
}

/// A writer of its own end, on a thread: bytes in pieces of odd lengths.
fn piped(bytes: Vec<u8>) -> std::io::PipeReader {
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::thread::spawn(move || bytes.chunks(7_777).for_each(|piece| writer.write_all(piece).unwrap()));
    reader
}

const CHUNK: usize = CHUNK_BYTES as usize;

#[tokio::test]
async fn files_pipes_and_sockets_come_back_as_they_were() {
    for length in [0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5, 17 * CHUNK + 3] {
        let text = bytes(length);
        let memory = Memory::default();
        let taken = put_from(&memory, file_of(&text), Some(length as u64)).unwrap();
        assert_eq!(taken.content.size, length as u64);
        assert_eq!(taken.objects.len(), memory.objects.lock().unwrap().len(), "every object is named");
        let again = put_from(&memory, piped(text.clone()), None).unwrap();
        assert_eq!(again.content.digest, taken.content.digest, "{length}: a pipe gives the same");
        assert!(again.content.digest.is_some());

        let file = tempfile::tempfile().unwrap();
        let got = get_into(&memory, &taken.content, file.try_clone().unwrap()).await;
        assert_eq!(got.unwrap(), length as u64);
        assert!(written(file) == text, "{length} bytes through a file");
        for socket in [false, true] {
            let (reader, writer): (Box<dyn std::io::Read + Send>, OwnedFd) = if socket {
                let (ours, theirs) = UnixStream::pair().unwrap();
                (Box::new(ours), theirs.into())
            } else {
                let (reader, writer) = std::io::pipe().unwrap();
                (Box::new(reader), writer.into())
            };
            let mut reader = reader;
            let reading = tokio::task::spawn_blocking(move || {
                let mut all = Vec::new();
                reader.read_to_end(&mut all).unwrap();
                all
            });
            get_into(&memory, &taken.content, writer).await.unwrap();
            assert!(reading.await.unwrap() == text, "{length} bytes, socket: {socket}");
        }
        // A window of sealed pieces and no more, whatever the size.
        assert!(*memory.most.lock().unwrap() <= 4 * (CHUNK + 16));
    }
}

/// Objects of which those that were asked for last come first.
#[derive(Default)]
struct Late {
    memory: Memory,
    asked: AtomicUsize,
    /// Fetches that nobody has had the objects of yet, and the most of them.
    open: Mutex<(usize, usize)>,
}

impl Objects for Late {
    fn ahead(&self) -> usize {
        get::AHEAD
    }

    async fn fetch(&self, wanted: &[Reference], most: usize) -> Result<Vec<Hashed>, Problem> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        {
            let mut open = self.open.lock().unwrap();
            open.0 += 1;
            open.1 = open.1.max(open.0);
        }
        for _ in 0..100 - 10 * (number % 10) {
            tokio::task::yield_now().await;
        }
        self.open.lock().unwrap().0 -= 1;
        self.memory.fetch(wanted, most).await
    }
}

/// However windows come, they are written in their order, no more than some are on their way, and
/// what was written before one that is wrong is a true beginning.
#[tokio::test]
async fn windows_that_come_in_any_order_are_written_in_theirs() {
    let (late, text) = (Late::default(), bytes(40 * CHUNK + 9));
    let taken = put_from(&late.memory, file_of(&text), None).unwrap();
    let get_it = || async {
        let file = tempfile::tempfile().unwrap();
        let into = file.try_clone().unwrap().into();
        let got = get::get(&TaskTracker::new(), &late, Arc::new(keys()), &taken.content, into).await;
        (got, written(file))
    };
    let (got, all) = get_it().await;
    assert!(got.is_ok() && all == text);
    assert_eq!(late.open.lock().unwrap().1, get::AHEAD);
    // One in the middle is another.
    let broken = taken.objects[21];
    late.memory.objects.lock().unwrap().get_mut(&broken).unwrap()[5] ^= 1;
    let (got, beginning) = get_it().await;
    assert_eq!(got.unwrap_err().name, ProblemKind::ContentsDamaged);
    assert!(text.starts_with(&beginning) && beginning.len() == 21 * CHUNK, "{}", beginning.len());
}

/// What a program has read of its own file before is not read again; what it had written stays.
#[tokio::test]
async fn contents_begin_where_the_file_is() {
    let (memory, mut file) = (Memory::default(), file_of(b"before contents"));
    file.seek(SeekFrom::Start(7)).unwrap();
    let taken = put_from(&memory, file.try_clone().unwrap(), Some(8)).unwrap();
    assert_eq!(file.stream_position().unwrap(), 15);
    let mut out = file_of(b"already here: ");
    out.seek(SeekFrom::End(0)).unwrap();
    get_into(&memory, &taken.content, out.try_clone().unwrap()).await.unwrap();
    assert_eq!(written(out), b"already here: contents");
}

#[tokio::test]
async fn sparse_files_stay_sparse() {
    let mut file = tempfile::tempfile().unwrap();
    let size = 40 * CHUNK_BYTES + 77;
    file.seek(SeekFrom::Start(20 * CHUNK_BYTES + 5)).unwrap();
    file.write_all(b"an island").unwrap();
    file.set_len(size).unwrap();
    file.rewind().unwrap();
    let memory = Memory::default();
    let taken = put_from(&memory, file.try_clone().unwrap(), Some(size)).unwrap();
    assert_eq!((taken.content.size, taken.objects.len()), (size, 2), "one chunk and one page");
    let out = tempfile::tempfile().unwrap();
    get_into(&memory, &taken.content, out.try_clone().unwrap()).await.unwrap();
    let stat = out.metadata().unwrap();
    assert_eq!(stat.len(), size);
    assert!(stat.blocks() * 512 <= 2 * CHUNK_BYTES, "{} blocks", stat.blocks());
    let all = written(out);
    assert!(all == written(file));
    // What was in the file before would show through a hole.
    let old = file_of(&vec![9; all.len()]);
    get_into(&memory, &taken.content, old.try_clone().unwrap()).await.unwrap();
    assert!(written(old) == all);
}

#[test]
fn another_size_and_a_file_that_changes_are_kept_nowhere() {
    let memory = Memory::default();
    for expected in [0, 99, 101, 10 * CHUNK_BYTES] {
        let refused = put_from(&memory, file_of(&bytes(100)), Some(expected));
        assert!(matches!(refused, Err(PutError::OtherSize { .. })), "{expected}");
    }
    let refused = put_from(&memory, piped(bytes(3 * CHUNK)), Some(CHUNK_BYTES));
    assert!(matches!(refused, Err(PutError::OtherSize { .. })));
    assert!(memory.objects.lock().unwrap().is_empty());
    let problem = Problem::from(refused.unwrap_err());
    assert_eq!(problem.name, ProblemKind::ContentsChanged);
}

/// A stage that writes to the file which is being read: what somebody else would do meanwhile.
struct Meddling(File, Memory);

impl Stage for Meddling {
    fn stage(&mut self, objects: &[StagedObject]) -> Result<(), StoreError> {
        self.0.write_all(b"more").unwrap();
        (&mut &self.1).stage(objects)
    }

    fn forget(&mut self, objects: &[ObjectId]) -> Result<(), StoreError> {
        (&mut &self.1).forget(objects)
    }
}

#[test]
fn a_file_that_is_written_to_meanwhile_is_refused() {
    let (_stopper, stop) = stop::stop().unwrap();
    let source = file_of(&bytes(9 * CHUNK));
    let mut end = source.try_clone().unwrap();
    end.seek(SeekFrom::End(0)).unwrap();
    let mut stage = Meddling(end, Memory::default());
    let mut start = source;
    start.rewind().unwrap();
    let keys = keys();
    let with = PutKeys { present: keys.at(0).unwrap(), first: None };
    let file = OpenFile::to_read(start.into(), stop).unwrap();
    let refused = put::put(&file, None, with, None, &mut stage, &mut entropy::System);
    assert!(matches!(refused, Err(PutError::Changed)), "{refused:?}");
    assert!(stage.1.objects.lock().unwrap().is_empty());
}

#[test]
fn a_full_disk_here_keeps_nothing() {
    let memory = Memory { room: Some(10 * CHUNK), ..Memory::default() };
    let refused = put_from(&memory, file_of(&bytes(20 * CHUNK)), None);
    assert!(matches!(refused, Err(PutError::Store(StoreError::DiskFull))));
    assert!(memory.objects.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_full_disk_there_and_a_closed_pipe_are_said() {
    let memory = Memory::default();
    let taken = put_from(&memory, file_of(&bytes(3 * CHUNK)), None).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let problem = get_into(&memory, &taken.content, writer).await.unwrap_err();
    assert_eq!(problem.name, ProblemKind::InvalidRequest, "{problem}");
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    let problem = get_into(&memory, &taken.content, theirs).await.unwrap_err();
    assert_eq!(problem.name, ProblemKind::InvalidRequest, "{problem}");
    // Opened for the other direction.
    let (reader, writer) = std::io::pipe().unwrap();
    let problem = get_into(&memory, &taken.content, reader).await.unwrap_err();
    assert_eq!(problem.name, ProblemKind::InvalidRequest, "{problem}");
    assert!(matches!(put_from(&memory, writer, None), Err(PutError::File(FileError::Mode(_)))));
}

/// What somebody does to the objects, and to this one of them.
type Fault<'a> = dyn Fn(&mut BTreeMap<ObjectId, Vec<u8>>, ObjectId) + 'a;

/// The server gives another object, a changed one, a shorter one, or none: nothing of it is
/// written, and what was written before is a true beginning.
#[tokio::test]
async fn nothing_that_is_wrong_is_written() {
    let text = bytes(6 * CHUNK + 9);
    let memory = Memory::default();
    let taken = put_from(&memory, file_of(&text), None).unwrap();
    let References::Direct(references) = &taken.content.references else { panic!() };
    let objects: Vec<ObjectId> = references.iter().flatten().map(|reference| reference.object).collect();
    let faults: [&Fault; 4] = [
        &|all, object| drop(all.insert(object, all[&objects[0]].clone())),
        &|all, object| all.get_mut(&object).unwrap()[77] ^= 1,
        &|all, object| all.get_mut(&object).unwrap().truncate(100),
        &|all, object| drop(all.remove(&object)),
    ];
    for (number, fault) in faults.iter().enumerate() {
        let lying =
            Memory { objects: Mutex::new(memory.objects.lock().unwrap().clone()), ..Memory::default() };
        fault(&mut lying.objects.lock().unwrap(), objects[5]);
        let out = tempfile::tempfile().unwrap();
        let problem = get_into(&lying, &taken.content, out.try_clone().unwrap()).await.unwrap_err();
        let expected =
            if number == 3 { ProblemKind::ContentsUnavailable } else { ProblemKind::ContentsDamaged };
        assert_eq!(problem.name, expected, "fault {number}");
        let all = written(out);
        assert!(all.len() <= 5 * CHUNK, "nothing of the wrong piece");
        assert!(text.starts_with(&all));
    }
    let short = Content { size: taken.content.size + CHUNK_BYTES, ..taken.content.clone() };
    let problem = get_into(&memory, &short, tempfile::tempfile().unwrap()).await.unwrap_err();
    assert_eq!(problem.name, ProblemKind::SafeUntrusted);
}

/// What comes out of an archive makes no objects of zeros: a few references would fill the disk.
#[tokio::test]
async fn zeros_that_are_sealed_again_are_holes() {
    let (_stopper, stop) = stop::stop().unwrap();
    let (keys, memory) = (keys(), Memory::default());
    let with = PutKeys { present: keys.at(0).unwrap(), first: keys.at(0) };
    let text = [vec![0; 3 * CHUNK], b"end".to_vec()].concat();
    let file = OpenFile::to_read(file_of(&text).into(), stop).unwrap();
    let size = text.len() as u64;
    let taken = put::put_again(&file, size, with, &mut &memory, &mut entropy::System).unwrap();
    assert_eq!((taken.content.size, taken.objects.len()), (size, 1));
    let out = tempfile::tempfile().unwrap();
    get_into(&memory, &taken.content, out.try_clone().unwrap()).await.unwrap();
    assert!(written(out) == text);
}

/// Who waits for a pipe is woken when nobody wants it any more: a device can always be locked.
#[tokio::test]
async fn work_that_waits_for_a_pipe_ends_when_it_is_dropped() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let (stopper, stop) = stop::stop().unwrap();
    let waiting = tokio::task::spawn_blocking(move || {
        let (keys, memory) = (keys(), Memory::default());
        let with = PutKeys { present: keys.at(0).unwrap(), first: None };
        let file = OpenFile::to_read(reader.into(), stop)?;
        put::put(&file, None, with, None, &mut &memory, &mut entropy::System)
    });
    drop(stopper);
    assert!(matches!(waiting.await.unwrap(), Err(PutError::File(FileError::Stopped))));

    // The same while writing: the pipe is full, and nobody reads.
    let memory = Memory::default();
    let taken = put_from(&memory, file_of(&bytes(CHUNK)), None).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let tasks = TaskTracker::new();
    let mut writing = Box::pin(get::get(&tasks, &memory, Arc::new(keys()), &taken.content, writer.into()));
    let mut first = [0; 1];
    let mut look = reader.try_clone().unwrap();
    let read = tokio::task::spawn_blocking(move || look.read(&mut first).unwrap());
    tokio::select! {
        done = &mut writing => panic!("nobody reads it: {done:?}"),
        read = read => assert_eq!(read.unwrap(), 1),
    }
    drop(writing);
    tasks.close();
    tasks.wait().await;
    drop(reader);
}

fn put_many_from(memory: &Memory, file: impl Into<OwnedFd>, sizes: &[u64]) -> Result<Vec<Taken>, PutError> {
    let (_stopper, stop) = stop::stop().unwrap();
    let (keys, mut stage) = (keys(), memory);
    let with = PutKeys { present: keys.at(0).unwrap(), first: keys.at(0) };
    let file = OpenFile::to_read(file.into(), stop)?;
    many::take(&file, sizes, with, &mut stage, &mut entropy::System)
}

#[tokio::test]
async fn small_files_in_one_come_back_each_as_it_was() {
    let sizes = [0, 1, 4_096, 65_536, 0, 3];
    let text = bytes(sizes.iter().sum::<usize>());
    let asked = sizes.map(|size| size as u64);
    for pipe in [false, true] {
        let memory = Memory::default();
        let file = if pipe { OwnedFd::from(piped(text.clone())) } else { file_of(&text).into() };
        let taken = put_many_from(&memory, file, &asked).unwrap();
        let objects: Vec<_> = taken.iter().map(|taken| taken.objects.len()).collect();
        assert_eq!(objects, [0, 1, 1, 1, 0, 1]);
        // Each by itself is what it would be had it come alone.
        let mut at = 0;
        for (taken, size) in taken.iter().zip(sizes) {
            let file = tempfile::tempfile().unwrap();
            get_into(&memory, &taken.content, file.try_clone().unwrap()).await.unwrap();
            assert!(written(file) == text[at..at + size]);
            assert!(taken.objects.iter().all(|object| memory.objects.lock().unwrap().contains_key(object)));
            at += size;
        }
        let contents: Vec<_> = taken.into_iter().map(|taken| taken.content).collect();
        let file = tempfile::tempfile().unwrap();
        let to = file.try_clone().unwrap().into();
        let got = many::give(&TaskTracker::new(), &memory, Arc::new(keys()), contents, to).await.unwrap();
        assert_eq!(got, text.len() as u64);
        assert!(written(file) == text);
    }
}

#[test]
fn nothing_is_kept_of_files_whose_bytes_are_not_all_theirs() {
    for (length, sizes) in [(9, [4, 6]), (11, [4, 6]), (0, [0, 1]), (1, [0, 0])] {
        for pipe in [false, true] {
            let memory = Memory::default();
            let text = bytes(length);
            let file = if pipe { OwnedFd::from(piped(text)) } else { file_of(&text).into() };
            let error = put_many_from(&memory, file, &sizes).unwrap_err();
            assert!(matches!(error, PutError::OtherSize { .. }), "{error:?}");
            assert!(memory.objects.lock().unwrap().is_empty());
        }
    }
    let memory = Memory { room: Some(5_000), ..Memory::default() };
    let error = put_many_from(&memory, file_of(&bytes(8_000)), &[4_000, 4_000]).unwrap_err();
    assert!(
        matches!(error, PutError::Store(StoreError::DiskFull)) && memory.objects.lock().unwrap().is_empty()
    );
}

#[tokio::test]
async fn of_small_files_no_wrong_byte_is_written() {
    let memory = Memory::default();
    let taken = put_many_from(&memory, file_of(&bytes(300)), &[100, 100, 100]).unwrap();
    let contents: Vec<_> = taken.iter().map(|taken| taken.content.clone()).collect();
    let second = taken[1].objects[0];
    if let Some(object) = memory.objects.lock().unwrap().get_mut(&second) {
        object[0] ^= 1;
    }
    let file = tempfile::tempfile().unwrap();
    let to = file.try_clone().unwrap().into();
    let given = many::give(&TaskTracker::new(), &memory, Arc::new(keys()), contents, to).await;
    assert_eq!(given.unwrap_err().name, ProblemKind::ContentsDamaged);
    assert!(written(file) == bytes(300)[..100], "a true beginning");

    // What claims to be one piece and is more is none of these.
    let large = put_from(&memory, file_of(&bytes(2 * CHUNK)), None).unwrap();
    let (tasks, file) = (TaskTracker::new(), tempfile::tempfile().unwrap());
    let given = many::give(&tasks, &memory, Arc::new(keys()), vec![large.content], file.into()).await;
    assert_eq!(given.unwrap_err().name, ProblemKind::SafeUntrusted);
}

/// All chunks that a large content names.
fn named(memory: &Memory, content: &Content) -> Vec<Option<Reference>> {
    let References::Paged(pages) = &content.references else { panic!("a small file") };
    let all = memory.objects.lock().unwrap();
    let page = |(number, page): (u64, &Reference)| {
        open_page(&keys(), content.size, number, page, &mut all[&page.object].clone()).unwrap()
    };
    (0..).zip(pages).flat_map(page).collect()
}

async fn reads_as(memory: &Memory, content: &Content, text: &[u8]) {
    let out = tempfile::tempfile().unwrap();
    get_into(memory, content, out.try_clone().unwrap()).await.unwrap();
    assert!(written(out) == text);
}

#[tokio::test]
async fn an_edit_in_the_middle_names_all_other_chunks_again() {
    let (memory, before) = (Memory::default(), bytes(20 * CHUNK + 9));
    let old = put_from(&memory, file_of(&before), None).unwrap().content;
    let here = Here::all_of(&memory);
    let mut after = before.clone();
    after[9 * CHUNK + 1_000..][..4_096].fill(255);
    let size = Some(after.len() as u64);
    let anew = put_from(&Memory::default(), file_of(&after), None).unwrap().content;
    // Of a pipe whose length nobody said it is found out when there are more than 16 of them.
    let pipe = || put_over((&memory, &here, 0), &old, piped(after.clone()), None);
    let known = || put_over((&memory, &here, 0), &old, piped(after.clone()), size);
    let file = || put_over((&memory, &here, 0), &old, file_of(&after), None);
    for (taken, new) in [(file(), vec![9]), (known(), vec![9]), (pipe(), (0..16).collect())] {
        let taken = taken.unwrap();
        assert_eq!(taken.objects.len(), new.len() + 1, "with their page");
        let (was, is) = (named(&memory, &old), named(&memory, &taken.content));
        for (number, (was, is)) in was.iter().zip(&is).enumerate() {
            assert_eq!(was != is, new.contains(&number), "chunk {number}");
        }
        assert_eq!(taken.content.digest, anew.digest);
        reads_as(&memory, &taken.content, &after).await;
    }
    reads_as(&memory, &old, &before).await;
    // Nothing has changed: nothing is sealed.
    let taken = put_over((&memory, &here, 0), &old, file_of(&before), None).unwrap();
    assert_eq!((taken.content, taken.objects), (old, Vec::new()));
}

/// What somebody does to what is here of the earlier content, and to this one of its objects.
type Loss<'a> = dyn Fn(&mut Here, ObjectId) + 'a;

#[tokio::test]
async fn what_is_not_here_as_it_was_or_not_accepted_is_sealed_anew() {
    let (memory, text) = (Memory::default(), bytes(20 * CHUNK));
    let old = put_from(&memory, file_of(&text), None).unwrap().content;
    let chunk = named(&memory, &old)[4].unwrap().object;
    let other = named(&memory, &old)[5].unwrap().object;
    let References::Paged(pages) = &old.references else { panic!() };
    let page = pages[0].object;
    let losses: [&Loss<'_>; 5] = [
        &|here, object| drop(here.objects.remove(&object)),
        &|here, object| here.objects.get_mut(&object).unwrap()[77] ^= 1,
        &|here, object| here.objects.get_mut(&object).unwrap().truncate(100),
        &|here, object| drop(here.objects.insert(object, here.objects[&other].clone())),
        &|here, object| assert!(here.waits.insert(object)),
    ];
    for (number, loss) in losses.iter().enumerate() {
        let mut here = Here::all_of(&memory);
        loss(&mut here, chunk);
        let taken = put_over((&memory, &here, 0), &old, file_of(&text), None).unwrap();
        assert_eq!(taken.objects.len(), 2, "loss {number}: the chunk and the page");
        let is = named(&memory, &taken.content);
        assert!(is.iter().flatten().all(|reference| reference.object != chunk), "loss {number}");
        reads_as(&memory, &taken.content, &text).await;
        // Without the page nobody knows its chunks; one that waits is known, and not named.
        let mut here = Here::all_of(&memory);
        loss(&mut here, page);
        let taken = put_over((&memory, &here, 0), &old, file_of(&text), None).unwrap();
        let new = if number == 4 { 1 } else { 21 };
        assert_eq!(taken.objects.len(), new, "loss {number} of the page");
        assert_ne!(taken.content.references, old.references);
        reads_as(&memory, &taken.content, &text).await;
    }
}

/// Who was in the safe before may have the key of before.
#[tokio::test]
async fn nothing_of_an_earlier_key_is_named_again() {
    let (memory, text) = (Memory::default(), bytes(18 * CHUNK));
    let old = put_from(&memory, file_of(&text), None).unwrap().content;
    // What waited while the key changed is sealed anew, and names what did not wait as it was.
    let mut mixed = codec::encode(&named(&memory, &old));
    let page = seal(&keys().at(1).unwrap(), ObjectKind::Page, &mut mixed, &mut entropy::System).unwrap();
    memory.objects.lock().unwrap().insert(page.object, mixed);
    let mixed = Content { references: References::Paged(vec![page]), ..old.clone() };
    let here = Here::all_of(&memory);
    for over in [&old, &mixed] {
        let taken = put_over((&memory, &here, 1), over, file_of(&text), None).unwrap();
        assert_eq!(taken.objects.len(), 19);
        assert!(named(&memory, &taken.content).iter().flatten().all(|reference| reference.epoch == 1));
        reads_as(&memory, &taken.content, &text).await;
    }
}

#[tokio::test]
async fn a_small_file_is_new_as_a_whole_and_another_length_is_another_chunk() {
    let text = bytes(24 * CHUNK);
    // Sizes before and after, and how many objects are new.
    let small = 16 * CHUNK;
    let cases = [
        (small, small, 16),
        (small, small + 9, 18),
        (small + 9, small, 16),
        (small + 9, small - 9, 16),
        (small + CHUNK, small - CHUNK + 9, 16),
        (small + 9, small + 9, 0),
        (small + 9, small + 10, 2),
        (small + 10, small + 9, 2),
        (small + 9, small + CHUNK, 2),
        (20 * CHUNK, 18 * CHUNK, 1),
        (20 * CHUNK, 18 * CHUNK + 5, 2),
        (20 * CHUNK, 21 * CHUNK + 5, 3),
    ];
    for (from, to, new) in cases {
        let memory = Memory::default();
        let old = put_from(&memory, file_of(&text[..from]), None).unwrap().content;
        let here = Here::all_of(&memory);
        let taken = put_over((&memory, &here, 0), &old, file_of(&text[..to]), None).unwrap();
        assert_eq!(taken.objects.len(), new, "from {from} to {to}");
        reads_as(&memory, &taken.content, &text[..to]).await;
    }
    // Zeros behind the end look like its padding, and are bytes of the file.
    let memory = Memory::default();
    let old = put_from(&memory, file_of(&text[..20 * CHUNK + 5]), None).unwrap().content;
    let longer = [&text[..20 * CHUNK + 5], &[0; 5]].concat();
    let here = Here::all_of(&memory);
    let taken = put_over((&memory, &here, 0), &old, file_of(&longer), None).unwrap();
    assert_eq!(taken.objects.len(), 2);
    reads_as(&memory, &taken.content, &longer).await;
}

#[tokio::test]
async fn holes_stay_holes_and_a_page_without_a_change_stands_again() {
    let size = (PAGE_REFERENCES + 3) * CHUNK_BYTES;
    let file = tempfile::tempfile().unwrap();
    file.set_len(size).unwrap();
    for chunk in [5, PAGE_REFERENCES + 1] {
        file.write_all_at(b"an island", chunk * CHUNK_BYTES + 7).unwrap();
    }
    let memory = Memory::default();
    let old = put_from(&memory, file.try_clone().unwrap(), Some(size)).unwrap();
    assert_eq!(old.objects.len(), 4, "two chunks and two pages");
    let over = |changed: &File| {
        let mut file = changed.try_clone().unwrap();
        file.rewind().unwrap();
        put_over((&memory, &Here::all_of(&memory), 0), &old.content, file, Some(size)).unwrap()
    };
    assert_eq!(over(&file).objects, []);
    file.write_all_at(b"IS LAND", (PAGE_REFERENCES + 1) * CHUNK_BYTES + 7).unwrap();
    let taken = over(&file);
    assert_eq!(taken.objects.len(), 2, "a chunk and its page");
    let (References::Paged(was), References::Paged(is)) =
        (&old.content.references, &taken.content.references)
    else {
        panic!()
    };
    assert!(was[0] == is[0] && was[1] != is[1]);
    // A hole that is filled, and one that is not: bytes are no hole, and a hole has no bytes.
    file.write_all_at(&vec![0; CHUNK], 6 * CHUNK_BYTES).unwrap();
    let taken = over(&file);
    let (was, is) = (named(&memory, &old.content), named(&memory, &taken.content));
    assert_eq!(is.len() as u64, chunks(size));
    assert!(was[5].is_some() && was[5] == is[5]);
    assert!(was[6].is_none() && is[6].is_some() && is[7].is_none());
    let out = tempfile::tempfile().unwrap();
    get_into(&memory, &taken.content, out.try_clone().unwrap()).await.unwrap();
    let mut island = [0; 7];
    out.read_exact_at(&mut island, (PAGE_REFERENCES + 1) * CHUNK_BYTES + 7).unwrap();
    assert_eq!((&island, out.metadata().unwrap().len()), (b"IS LAND", size));
}

/// A member who names large objects for small files, and a server that sends anything, fill
/// nobody's memory.
#[test]
fn no_more_comes_than_there_can_be() {
    let left = AtomicUsize::new(10);
    super::take_room(&left, 7).unwrap();
    assert_eq!(super::take_room(&left, 4).unwrap_err().name, ProblemKind::ContentsDamaged);
    super::take_room(&left, 3).unwrap();
    assert!(super::take_room(&left, 1).is_err() && super::take_room(&left, usize::MAX).is_err());
}

#[test]
fn small_files_that_are_written_to_meanwhile_are_not_taken() {
    let file = file_of(&bytes(300));
    let (_stopper, stop) = stop::stop().unwrap();
    let open = OpenFile::to_read(file.try_clone().unwrap().into(), stop).unwrap();
    let before = open.stat().unwrap();
    put::read_as_it_was(&open, &before, 300).unwrap();
    assert_eq!((&file).stream_position().unwrap(), 300, "where a program that read it would be");
    file.set_times(std::fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH)).unwrap();
    assert!(matches!(put::read_as_it_was(&open, &before, 300), Err(PutError::Changed)));
}

//! Plug-ins' tokens on disk: who holds one, as a hash, and who used one when.
//!
//! Decides two formats: the list, replaced as a whole, and the record of uses, one JSON object a
//! line in two files. Where there is no more room each token keeps its newest uses in an equal
//! share of it, so that however often one is used, it pushes no other's uses out. Refuses a list
//! that is not what was written, or a newer program's: then there are no tokens, and the file stays
//! for whoever wants to look.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use minicbor::{Decode, Encode};
use parsec_protocol::codec;
use parsec_protocol::control::TokenUse;
use parsec_protocol::public_keys::Hash;

use super::StoreError;
use super::atomic::{Folder, std_error};

/// The list.
const LIST: &str = "tokens";
/// The record of uses that is being written.
const USES: &str = "token-uses";
/// The one before it.
const USES_BEFORE: &str = "token-uses.old";
/// Largest record of uses, each of two files: some 8,000 uses, a week of a plug-in that asks every
/// minute.
const USES_MAX_BYTES: usize = 1024 * 1024;
/// Tokens whose uses are kept, revoked ones included, each with a share of at least 8 KiB, some 60
/// uses. The ones that were not used for longest go.
const USERS_MAX: usize = 128;
/// Largest list: 64 tokens with names of 512 bytes and methods of 64 take 70 KB.
const LIST_MAX_BYTES: usize = 256 * 1024;
/// The list's version.
const FORMAT: u32 = 1;

/// One token as written. The secret itself is nowhere but with the plug-in.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TokenRecord {
    /// Names it: 16 hexadecimal digits.
    #[n(0)]
    pub id: String,
    /// What it is for.
    #[n(1)]
    pub name: String,
    /// SHA-256 of the secret.
    #[n(2)]
    pub secret: Hash,
    /// Names of the methods that it allows.
    #[n(3)]
    pub methods: Vec<String>,
    /// When it was made.
    #[n(4)]
    pub created: u64,
    /// When it ends, in microseconds since 1970.
    #[n(5)]
    pub expires: u64,
    /// Calls that it allows a minute.
    #[n(6)]
    pub rate: u32,
    /// Calls answered, as far as noted: up to a minute behind after a power cut.
    #[n(7)]
    pub uses: u64,
    /// Calls that were refused, as far as noted.
    #[n(8)]
    pub refused: u64,
    /// When it was used last, likewise; 0 for never.
    #[n(9)]
    pub last_used: u64,
}

#[derive(Encode, Decode)]
struct List {
    #[n(0)]
    format: u32,
    #[n(1)]
    tokens: Vec<TokenRecord>,
}

/// Where tokens are kept. Its calls block.
#[derive(Debug)]
pub struct TokenStore {
    folder: Folder,
    /// The file that is being written, and its length.
    uses: Mutex<Option<(std::fs::File, usize)>>,
}

impl TokenStore {
    /// In the data folder, which [`super::Devices`] has locked.
    ///
    /// # Errors
    /// [`StoreError::UnsafePath`], the disk's.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { folder: Folder::open_or_make(data_dir)?, uses: Mutex::new(None) })
    }

    /// The list; empty if there is none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::TooNew`], [`StoreError::TooLarge`],
    /// [`StoreError::UnsafePath`].
    pub fn load(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let Some(bytes) = self.folder.read(LIST, LIST_MAX_BYTES)? else { return Ok(Vec::new()) };
        let mut decoder = minicbor::Decoder::new(&bytes);
        match decoder.array().and_then(|_| decoder.u32()) {
            Ok(FORMAT) => {}
            Ok(found) if found > FORMAT => return Err(StoreError::TooNew { found, known: FORMAT }),
            Ok(_) | Err(_) => return Err(StoreError::Damaged("the list of tokens has no version")),
        }
        let list: List = codec::decode(&bytes, LIST_MAX_BYTES)
            .map_err(|_| StoreError::Damaged("the list of tokens is malformed"))?;
        Ok(list.tokens)
    }

    /// Puts another list in its place: the old one or the new one, whenever the power fails.
    ///
    /// # Errors
    /// The disk's.
    pub fn save(&self, tokens: &[TokenRecord]) -> Result<(), StoreError> {
        self.folder.replace(LIST, &codec::encode(&List { format: FORMAT, tokens: tokens.to_vec() }))
    }

    /// Adds a use to the record. Kept when the daemon is killed; a power cut may take the last
    /// ones.
    ///
    /// # Errors
    /// The disk's; then the use is not to be served.
    pub fn note(&self, used: &TokenUse) -> Result<(), StoreError> {
        let mut line = serde_json::to_vec(used).map_err(|_| StoreError::Damaged("a use has no text"))?;
        line.push(b'\n');
        // After a panic too: what is taken out below is not there.
        let mut current = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out: after a failure it is opened anew, and half a line that a full disk left gets
        // its end.
        let (mut file, mut length) = match current.take() {
            Some(open) => open,
            None => {
                let (mut file, length) = self.folder.append(USES)?;
                if length > 0 {
                    file.write_all(b"\n").map_err(|error| std_error("writing the record of uses", error))?;
                }
                (file, length.saturating_add(1))
            }
        };
        if length.saturating_add(line.len()) > USES_MAX_BYTES {
            self.make_room()?;
            (file, length) = self.folder.append(USES)?;
        }
        file.write_all(&line).map_err(|error| std_error("writing the record of uses", error))?;
        *current = Some((file, length.saturating_add(line.len())));
        Ok(())
    }

    /// Puts what is to stay of both files into the older one. After a power cut between the two
    /// steps a use may be there twice; none is lost.
    fn make_room(&self) -> Result<(), StoreError> {
        let mut both = Vec::new();
        for name in [USES_BEFORE, USES] {
            if let Some(bytes) = self.folder.read(name, USES_MAX_BYTES)? {
                both.extend_from_slice(&bytes);
                both.push(b'\n');
            }
        }
        self.folder.replace(USES_BEFORE, &shares(&both, USES_MAX_BYTES))?;
        self.folder.remove_file(USES)
    }

    /// The newest uses that `wanted` accepts, newest first. Lines that are none are passed over:
    /// the last one before a power cut may be cut short.
    ///
    /// # Errors
    /// The disk's.
    pub fn uses(&self, most: usize, wanted: impl Fn(&TokenUse) -> bool) -> Result<Vec<TokenUse>, StoreError> {
        let _held = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for name in [USES, USES_BEFORE] {
            let Some(bytes) = self.folder.read(name, USES_MAX_BYTES)? else { continue };
            let lines = bytes.rsplit(|byte| *byte == b'\n');
            let uses = lines.filter_map(|line| serde_json::from_slice::<TokenUse>(line).ok());
            let room = most.saturating_sub(found.len());
            found.extend(uses.filter(&wanted).take(room));
        }
        Ok(found)
    }
}

/// Of the uses in `lines`, oldest first, each token's newest: as many as fit into an equal share of
/// `room`, where what one token leaves over of its share is the others'.
fn shares(lines: &[u8], room: usize) -> Vec<u8> {
    let read = |line| serde_json::from_slice::<TokenUse>(line).ok().map(|used| (used.id, line));
    let uses: Vec<_> = lines.split(|byte| *byte == b'\n').filter_map(read).collect();
    let cost = |line: &[u8]| line.len().saturating_add(1);
    // How much each has, the one that was used last first.
    let mut users: Vec<(&Option<_>, usize)> = Vec::new();
    for (id, line) in uses.iter().rev() {
        let room_for_one = users.len() < USERS_MAX;
        match users.iter_mut().find(|(user, _)| *user == id) {
            Some((_, bytes)) => *bytes = bytes.saturating_add(cost(line)),
            None if room_for_one => users.push((id, cost(line))),
            None => {}
        }
    }
    users.sort_by_key(|(_, bytes)| *bytes);
    let (mut left, mut sharers) = (room, users.len());
    let mut share = BTreeMap::new();
    for (id, bytes) in users {
        let own = bytes.min(left.checked_div(sharers).unwrap_or(0));
        share.insert(id.as_ref(), own);
        (left, sharers) = (left.saturating_sub(own), sharers.saturating_sub(1));
    }
    let mut kept = Vec::new();
    for (id, line) in uses.iter().rev() {
        let Some(own) = share.get_mut(&id.as_ref()) else { continue };
        match own.checked_sub(cost(line)) {
            Some(less) => {
                *own = less;
                kept.push(*line);
            }
            // Not an older one in its place: what is kept of a token is without gaps.
            None => *own = 0,
        }
    }
    let mut text = Vec::with_capacity(room);
    for line in kept.iter().rev() {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use parsec_protocol::control::{ProblemKind, TokenId};
    use parsec_protocol::ids::Timestamp;

    use super::*;

    fn record(id: &str) -> TokenRecord {
        TokenRecord {
            id: id.into(),
            name: "files".into(),
            secret: Hash::of(&[b"s"]),
            methods: vec!["status.show".into()],
            created: 1,
            expires: 2,
            rate: 3,
            uses: 4,
            refused: 5,
            last_used: 6,
        }
    }

    fn used(number: u64) -> TokenUse {
        TokenUse {
            time: Timestamp(number),
            id: Some(TokenId("00".into())),
            name: Some("n".repeat(60)),
            method: "status.show".into(),
            pid: 7,
            refused: number.is_multiple_of(3).then_some(ProblemKind::RateLimited),
        }
    }

    #[test]
    fn the_list_comes_back_as_it_was_written_and_only_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let store = TokenStore::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), []);
        let list = [record("a"), record("b")];
        store.save(&list).unwrap();
        assert_eq!(TokenStore::open(&path).unwrap().load().unwrap(), list);
        let file = path.join(LIST);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let whole = std::fs::read(&file).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&file, &whole[..cut]).unwrap();
            assert!(matches!(store.load(), Err(StoreError::Damaged(_))), "cut at {cut}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                std::fs::write(&file, &flipped).unwrap();
                // Another list or a refusal; never a panic.
                let _ = store.load();
            }
        }
        std::fs::write(&file, codec::encode(&List { format: 2, tokens: vec![] })).unwrap();
        assert!(matches!(store.load(), Err(StoreError::TooNew { found: 2, known: 1 })));
        std::fs::write(&file, vec![0; LIST_MAX_BYTES + 1]).unwrap();
        assert!(matches!(store.load(), Err(StoreError::Oversized(_))));
    }

    #[test]
    fn the_record_of_uses_is_two_files_and_the_newest_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = TokenStore::open(folder.path().join("data").as_path()).unwrap();
        let many = 30_000;
        for number in 1..=many {
            store.note(&used(number)).unwrap();
        }
        for name in [USES, USES_BEFORE] {
            let file = folder.path().join("data").join(name).metadata().unwrap();
            assert!(usize::try_from(file.len()).unwrap() <= USES_MAX_BYTES, "{name}");
            assert_eq!(file.permissions().mode() & 0o777, 0o600);
        }
        let newest = store.uses(3, |_| true).unwrap();
        assert_eq!(newest, [used(many), used(many - 1), used(many - 2)]);
        let all = store.uses(usize::MAX, |_| true).unwrap();
        assert!(all.len() > 6_000, "{}", all.len());
        assert!(all.windows(2).all(|pair| pair[0].time > pair[1].time));
        let refused = store.uses(2, |used| used.refused.is_some()).unwrap();
        assert_eq!(refused, [used(many), used(many - 3)]);

        // Half a line, as a power cut leaves it: what comes after is found.
        let file = folder.path().join("data").join(USES);
        let mut text = std::fs::read(&file).unwrap();
        text.truncate(text.len() - 5);
        std::fs::write(&file, text).unwrap();
        let store = TokenStore::open(folder.path().join("data").as_path()).unwrap();
        store.note(&used(many + 1)).unwrap();
        assert_eq!(store.uses(2, |_| true).unwrap(), [used(many + 1), used(many - 1)]);
    }

    #[test]
    fn a_token_that_is_used_without_end_pushes_no_other_out_of_the_record() {
        let folder = tempfile::tempdir().unwrap();
        let store = TokenStore::open(folder.path().join("data").as_path()).unwrap();
        let other = TokenUse { id: Some(TokenId("11".into())), ..used(1) };
        let nobody = TokenUse { id: None, name: None, ..used(2) };
        store.note(&other).unwrap();
        store.note(&nobody).unwrap();
        for number in 3..50_000 {
            store.note(&used(number)).unwrap();
        }
        assert_eq!(store.uses(9, |used| used.id == other.id).unwrap(), [other]);
        assert_eq!(store.uses(9, |used| used.id.is_none()).unwrap(), [nobody]);
        assert_eq!(store.uses(1, |_| true).unwrap(), [used(49_999)]);
        for name in [USES, USES_BEFORE] {
            let file = folder.path().join("data").join(name).metadata().unwrap();
            assert!(usize::try_from(file.len()).unwrap() <= USES_MAX_BYTES, "{name}");
        }
    }
}

//! What of a large file stays as it is when it is put again: its chunks that are named again
//! instead of being sealed and sent once more.
//!
//! Decides that a chunk is named again at its own place alone, where its old bytes are on this
//! device, were verified like any that are let out, and are the new ones byte for byte. Refuses
//! what is of an earlier key, which somebody may have who is in the safe no more, and what no
//! accepted record has added: a change that waits may still go, or be sealed anew. Nothing is found
//! by a hash alone or by asking the server, which would learn what a file is compared with. What is
//! not here, or damaged, is sealed like what is new.
//!
//! The server keeps what is named again: an accepted record has added it. What is thrown away
//! between the sealing and the record, because nothing else named it any more, those who prune find
//! behind the page that names it, and take back within the time of grace.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope};

use parsec_protocol::ids::ObjectId;
use parsec_protocol::safes::content::{
    BUFFER_BYTES, EarlierPage, chunk_length, chunks, open_chunk, open_page, padded_length,
};
use parsec_protocol::safes::content_ref::{Content, PAGE_REFERENCES, Reference, References};
use parsec_protocol::safes::keys::SafeKeys;
use zeroize::Zeroizing;

/// Chunks that are in memory: one is compared while the next one is opened.
const BUFFERS: usize = 2;

/// Sealed pieces that are on this device.
pub(super) trait Held: Sync {
    /// Whether an accepted record has added an object, and none dropped it.
    fn is_accepted(&self, object: ObjectId) -> bool;

    /// Reads the bytes that are kept under this id and this hash. Whether there are any; whoever
    /// opens them compares the hash.
    fn read(&self, reference: &Reference, into: &mut Vec<u8>) -> bool;
}

/// The content that a file has before it is put again.
#[derive(Clone, Copy)]
pub(super) struct Earlier<'a> {
    content: &'a Content,
    pages: &'a [Reference],
    keys: &'a SafeKeys,
    present: u64,
    held: &'a dyn Held,
}

impl<'a> Earlier<'a> {
    /// Whether anything of a content may be named again: not of a small one, which looks entirely
    /// new to the server each time.
    pub(super) fn is_any(content: &Content) -> bool {
        matches!(content.references, References::Paged(_))
    }

    /// A content of which something may be named again in epoch `present`.
    pub(super) fn of(
        content: &'a Content,
        keys: &'a SafeKeys,
        present: u64,
        held: &'a dyn Held,
    ) -> Option<Self> {
        match &content.references {
            References::Paged(pages) if content.fits() => Some(Self { content, pages, keys, present, held }),
            References::Paged(_) | References::Direct(_) => None,
        }
    }

    /// What stands in a page; nothing where no chunk of it could be named again.
    fn page(&self, number: u64, page: &Reference, buffer: &mut Vec<u8>) -> Option<EarlierPage> {
        // Older than the present key: so is everything that it names.
        if page.epoch != self.present || !self.held.read(page, buffer) {
            return None;
        }
        let references = open_page(self.keys, self.content.size, number, page, buffer).ok()?;
        Some(EarlierPage { number, page: *page, references })
    }

    /// Opens chunk `number` into `buffer`. Whether it may be named again.
    fn open(&self, number: u64, reference: &Reference, buffer: &mut Vec<u8>) -> bool {
        reference.epoch == self.present
            && self.held.is_accepted(reference.object)
            && self.held.read(reference, buffer)
            && open_chunk(self.keys, self.content.size, number, reference, buffer).is_ok()
    }

    /// Opens one chunk after the other, as long as anybody wants them.
    fn open_all(&self, free: &Receiver<Buffer>, opened: &SyncSender<Opened>) {
        for (number, reference) in (0..).zip(self.pages) {
            let Ok(mut buffer) = free.recv() else { return };
            let page = self.page(number, reference, &mut buffer);
            let names = page.as_ref().map(|page| page.references.clone()).unwrap_or_default();
            let mut page = page.filter(|page| self.held.is_accepted(page.page.object));
            let mut buffer = Some(buffer);
            let first = number.saturating_mul(PAGE_REFERENCES);
            let end = first.saturating_add(PAGE_REFERENCES).min(chunks(self.content.size));
            for (number, at) in (first..end).zip(0..) {
                let Some(mut buffer) = buffer.take().or_else(|| free.recv().ok()) else { return };
                let found = names.get(at).copied().flatten();
                let reference = found.filter(|found| self.open(number, found, &mut buffer));
                let chunk = Opened { number, reference, buffer, page: page.take() };
                if opened.send(chunk).is_err() {
                    return;
                }
            }
        }
    }
}

/// Room for one chunk.
type Buffer = Zeroizing<Vec<u8>>;

/// A chunk of the content before.
struct Opened {
    number: u64,
    /// The object that it is in, where it may be named again.
    reference: Option<Reference>,
    /// Its bytes; anything where there is no such object.
    buffer: Buffer,
    /// With the first chunk of a page: the page, where it may be named again.
    page: Option<EarlierPage>,
}

/// The content before, chunk by chunk beside the new one. The chunks are opened on a thread of
/// their own while others are compared, which ends when this is dropped.
pub(super) struct Unchanged<'a> {
    content: &'a Content,
    opened: Receiver<Opened>,
    free: SyncSender<Buffer>,
    now: Option<Opened>,
}

impl<'a> Unchanged<'a> {
    /// Begins before the first chunk; none where there is no thread for it, and all is sealed.
    pub(super) fn begin<'scope, 'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        earlier: Earlier<'a>,
    ) -> Option<Self>
    where
        'a: 'scope,
    {
        let (free, is_free) = sync_channel(BUFFERS);
        let (has_opened, opened) = sync_channel(BUFFERS);
        for _ in 0..BUFFERS {
            // Room for the largest object from the start, and for the byte that shows a larger one:
            // what is in it is never moved, and so never left behind.
            free.send(Buffer::new(Vec::with_capacity(BUFFER_BYTES + 1))).ok()?;
        }
        let opening = move || earlier.open_all(&is_free, &has_opened);
        Builder::new().name("unchanged".to_owned()).spawn_scoped(scope, opening).ok()?;
        Some(Self { content: earlier.content, opened, free, now: None })
    }

    /// Goes on to the next chunk; the page that begins with it, where that may be named again. To
    /// be called for every piece of the new file, in order.
    pub(super) fn go_on(&mut self) -> Option<EarlierPage> {
        if let Some(unused) = self.now.take() {
            self.give_back(unused);
        }
        self.now = self.opened.recv().ok();
        self.now.as_mut()?.page.take()
    }

    /// The object that is named again for chunk `number` of a file which has `size` bytes with it:
    /// one that holds exactly these, and the padding that they need.
    pub(super) fn reference(&mut self, number: u64, size: u64, plaintext: &[u8]) -> Option<Reference> {
        let old = self.now.take()?;
        let padded = |size| padded_length(size, number);
        let fits = old.number == number
            && chunk_length(self.content.size, number) == plaintext.len()
            && padded(self.content.size) == padded(size);
        let same = fits && old.buffer.as_slice() == plaintext;
        let reference = old.reference.filter(|_| same);
        self.give_back(old);
        reference
    }

    fn give_back(&self, old: Opened) {
        // There is room for all of them; nobody wants one where the thread has ended.
        let _ = self.free.send(old.buffer);
    }
}

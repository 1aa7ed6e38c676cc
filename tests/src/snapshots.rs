//! Snapshots by an insider: of what the records make, or of whatever a test wants to be believed.
//!
//! Decides nothing about validity, as `insider` does not.

use parsec_protocol::codec;
use parsec_protocol::ids::OperationId;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::RecordAnswer;
use parsec_protocol::safes::change::{Change, Inside, RULES_VERSION};
use parsec_protocol::safes::content::{CHUNK_LENGTH, Sealing};
use parsec_protocol::safes::snapshot;
use parsec_protocol::safes::state::State;
use parsecd::os::entropy::System;

use crate::insider::{Insider, Kept, SealedFile, View, drawn, folder};

impl Insider {
    /// Seals the bytes of a snapshot under the present key of a safe.
    #[must_use]
    pub fn sealed_snapshot(&self, view: &View, bytes: &[u8]) -> SealedFile {
        let epoch = view.verified.present().unwrap().key.epoch;
        let mut sealing = Sealing::of_snapshot(view.keys.at(epoch).unwrap());
        let mut kept = Kept::default();
        for piece in bytes.chunks(CHUNK_LENGTH) {
            sealing.piece(&mut piece.to_vec(), &mut System, &mut kept).unwrap();
        }
        SealedFile { content: sealing.finish(&mut System, &mut kept).unwrap(), objects: kept.0 }
    }

    /// A record that says of a state that it is the one before it, whatever the records make. Its
    /// objects are at the server.
    #[must_use]
    pub fn snapshot(&self, view: &View, mut of: State) -> Vec<u8> {
        let before = of.state_root();
        self.snapshot_behind(view, of, before)
    }

    /// The same behind a tree of this root.
    #[must_use]
    pub fn snapshot_behind(&self, view: &View, of: State, before: Hash) -> Vec<u8> {
        let sealed = self.sealed_snapshot(view, &codec::encode(&of));
        self.put_objects(*view.verified.id(), &sealed.objects).unwrap();
        let mut payload = self.next_record(view);
        payload.adds = Self::ids(&sealed);
        let root = snapshot::root_of(&of);
        let change =
            Change::Snapshot { operation: OperationId::from_bytes(drawn()), content: sealed.content, root };
        let inside = Inside { rules: RULES_VERSION, root: before, changes: vec![change] };
        self.seal(view, payload, &inside)
    }

    /// Writes so many records, each of which adds a folder. Others may write, too.
    ///
    /// # Panics
    /// If the server refuses one.
    pub fn fill(&self, view: &mut View, records: usize) {
        let safe = *view.verified.id();
        for number in 0..records {
            loop {
                let payload = self.next_record(view);
                let record = self.write(view, payload, vec![folder(safe, &format!("folder {number}"))]);
                if let RecordAnswer::Accepted { .. } = self.post_record(safe, &record).unwrap() {
                    self.take(view, record);
                    break;
                }
                *view = self.view(safe);
            }
        }
    }
}

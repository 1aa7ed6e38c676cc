//! Safes as rows.
//!
//! Decides nothing: which item may come next, and what it changes, is the protocol's. Triggers
//! keep how many bytes everybody has brought.

mod items;
mod members;
mod objects;
mod repair;
mod rings;
mod totals;
mod turns;

pub(super) use items::{
    certificate, insert_certificate, insert_record, insert_safe, journal, page, record, safe, safe_bytes,
    safe_counts, set_present,
};
pub(super) use members::{
    add_holder, changed_up_to, clear_holders, device_at, holders, role, roles, safes_of, set_role, user_at,
};
pub(super) use objects::{
    insert_object, is_due, mend_object, object, object_bytes, put_off_object, remove_due_objects,
    set_object_state,
};
pub(super) use repair::{
    await_object, awaited, awaited_all, end_awaiting, note_restored_all, remove_object, restored,
    set_restored,
};
pub(super) use rings::{insert_ring, keep_part, part, post_box, posted, put_part, remove_due_parts, ring};
pub(super) use totals::{bytes_of_member, bytes_of_safe, totals};
pub(super) use turns::{next_turn, races, set_races, set_turn, turn};

use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::store::safes::SafeKey;

/// Organisation and safe, with which every key begins.
fn named<'a>(of: &SafeKey<'a>) -> [ToSqlOutput<'a>; 2] {
    [ValueRef::from(of.organisation.as_str()), ValueRef::Blob(of.safe.as_bytes())].map(ToSqlOutput::Borrowed)
}

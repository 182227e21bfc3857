//! Words and numbers that several answers share.

use cairn::Role;

use super::cell::Cell;

/// `1 image`, `2 images`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `1 write is`, `2 writes are`.
pub(super) fn waiting(writes: u64) -> String {
    if writes == 1 { "1 write is".to_owned() } else { format!("{writes} writes are") }
}

/// `train` or `index`.
pub(crate) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Train => "train",
        Role::Index => "index",
    }
}

pub(super) fn yes_or_no(value: bool) -> Cell {
    Cell::Text(if value { "yes" } else { "no" }.to_owned())
}

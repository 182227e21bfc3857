//! Lists and images that are stored already: labels that a list no longer gives, and the summary of the images that an ingest
//! left unchanged.

use std::collections::HashSet;

use cairn::{Database, Role};
use cairndb_ingest::source::Spellings;
use cairndb_ingest::{LabelReport, Twins};

use crate::failure::Result;
use crate::output::counted;
use crate::terminal::note;

/// Of these keys, each with whether the list gives it a label, those whose label the list has dropped. The image has or had a
/// label, so this is a change of the list and no mistake in it. A list without any label is a mistake, and a new train image
/// needs one.
///
/// # Errors
/// A damaged catalog.
pub(super) fn emptied<'k>(
    database: &Database,
    role: Role,
    keys: impl Iterator<Item = (&'k str, bool)>,
) -> Result<HashSet<String>> {
    let (mut without, mut gives_labels) = (HashSet::new(), false);
    let snapshot = database.snapshot();
    for (key, has_label) in keys {
        gives_labels |= has_label;
        if role == Role::Train && !has_label
            // An image that was always an index image lost no label: its row simply has none.
            && snapshot.record(key)?.is_some_and(|record| record.label.is_some() || record.version > 1)
        {
            without.insert(key.to_owned());
        }
    }
    Ok(if gives_labels { without } else { HashSet::new() })
}

/// The summary's lines about labels: what the list changed, and what it did not. `gives_labels`: there was a list, or folders that are labels.
pub(super) fn said(labels: &LabelReport, gives_labels: bool) -> Vec<String> {
    let LabelReport { changed, changed_by_hand, taken_away, .. } = *labels;
    let mut lines = Vec::new();
    if changed > 0 {
        let by_hand = match changed_by_hand {
            0 => String::new(),
            1 => ", 1 of them set by hand before".to_owned(),
            many => format!(", {many} of them set by hand before"),
        };
        let gone = match taken_away {
            0 => String::new(),
            many => format!(", {many} of them removed"),
        };
        lines
            .push(format!("{} changed by the list{by_hand}{gone}; UNDO LABEL reverts this", counted(changed, "label")));
    }
    if labels.came_with_photo > 0 {
        lines.push(format!(
            "{} came with another photo or vector under the key; UNDO LABEL does not revert this",
            counted(labels.came_with_photo, "label")
        ));
    }
    let left = [
        (labels.left_by_hand, "set by hand"),
        (labels.left_by_cleaning, "set by a cleaning"),
        (labels.left_unknown, "whose origin an earlier version did not record"),
    ];
    let left: Vec<String> = left
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, how)| format!("{} {how}", counted(*count, "label")))
        .collect();
    if !left.is_empty() {
        let index = match labels.left_in_index {
            0 => String::new(),
            1 => "; 1 of these images has no label and stays an index image".to_owned(),
            many => format!("; {many} of these images have no label and stay index images"),
        };
        let why = match gives_labels {
            true => "; the list has not changed since, and --labels list applies its labels",
            false => "",
        };
        lines.push(format!("unchanged: {}{why}{index}", left.join(", ")));
    }
    if labels.left_photos > 0 {
        lines.push(format!(
            "unchanged: {} put by hand; the list still names its earlier file",
            counted(labels.left_photos, "photo")
        ));
    }
    lines
}

/// Number of spellings that are listed; the others are counted.
const NAMED_SPELLINGS: usize = 20;

/// Prints which spellings of labels are one label.
pub(super) fn joined(spellings: &Spellings) {
    let told = spellings.told();
    told.iter().take(NAMED_SPELLINGS).for_each(|line| note(line));
    if told.len() > NAMED_SPELLINGS {
        note(&format!("and {} more spellings of labels", told.len() - NAMED_SPELLINGS));
    }
}

/// Prints which of the added photos or vectors are also stored under another key.
pub(super) fn twins(twins: &Twins, noun: &str) {
    let Twins { count, pairs } = twins;
    let Some((new, old)) = pairs.first() else { return };
    let others = match count {
        1 => format!("1 added {noun} is the same as a stored one"),
        many => format!("{many} added {noun}s are the same as stored ones"),
    };
    note(&format!(
        "note: {others} under another key: '{new}' is '{old}'; searches find both, and labelled ones both vote"
    ));
    for (new, old) in pairs.iter().skip(1) {
        note(&format!("  '{new}' is '{old}'"));
    }
}

/// The line about train images that became index images.
pub(super) fn lost(images: usize) -> String {
    match images {
        1 => "note: 1 train image became an index image; its label was removed".to_owned(),
        many => format!("note: {many} train images became index images; their labels were removed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_alone_is_said_with_who_set_it() {
        assert!(said(&LabelReport::default(), true).is_empty());
        let labels = LabelReport {
            changed: 12,
            changed_by_hand: 3,
            left_by_hand: 1,
            left_by_cleaning: 2,
            left_in_index: 1,
            ..LabelReport::default()
        };
        let lines = said(&labels, true);
        assert!(lines[0].starts_with("12 labels changed by the list, 3 of them set by hand before;"), "{lines:?}");
        assert!(lines[1].starts_with("unchanged: 1 label set by hand, 2 labels set by a cleaning;"), "{lines:?}");
        assert!(lines[1].ends_with("1 of these images has no label and stays an index image"), "{lines:?}");
    }
}

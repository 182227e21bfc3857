//! What a list says about an image that may be stored already, and the report's counts of it.

use cairn::Record;
use cairn::lists::{Heard, ListSaid, Reading, SetBy};

use super::Report;

/// What happened to labels that differ from the list's, in numbers of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LabelReport {
    /// The list changed since it was last read, or overruled: its label was set.
    pub changed: usize,
    /// Those of them whose label was set by hand before: by a statement or a program.
    pub changed_by_hand: usize,
    /// Further labels that came with another photo or vector under the key. They are that photo's first label, so that UNDO LABEL has
    /// nothing to restore.
    pub came_with_photo: usize,
    /// Those of them that the list gives no label any more.
    pub taken_away: usize,
    /// The label that was set by hand stays, since the list has not changed.
    pub left_by_hand: usize,
    /// The label that a cleaning set stays.
    pub left_by_cleaning: usize,
    /// The label stays, since an earlier build did not record who set it.
    pub left_unknown: usize,
    /// Unchanged images that have no label and stay index images.
    pub left_in_index: usize,
    /// Another photo that was put under the key by hand stays: the list still names the earlier one.
    pub left_photos: usize,
}

/// The decision about one image of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    /// Whether the image is stored, and what happens to its label.
    heard: Option<Heard>,
    set_by: SetBy,
    /// The image has a label now.
    has_label: bool,
    /// The list gives a label.
    gives_label: bool,
    /// The image has the photo that the list names, or the list named it before.
    pub(super) is_known_photo: bool,
    /// The image has another photo than the list's.
    has_another_photo: bool,
    /// Nothing is to be written.
    pub(super) is_noted: bool,
}

impl Word {
    /// The decision for this label and the photo with this hash.
    pub(super) fn of(stored: Option<&Record>, label: Option<&str>, content: [u8; 32], reading: Reading) -> Self {
        let heard = stored.map(|stored| stored.hears(label, reading.overrules));
        let said = stored.and_then(|stored| stored.listed.as_ref());
        let has_another_photo = stored.is_some_and(|stored| stored.content != Some(content));
        let is_named_again = said.is_some_and(|said| said.content == Some(content));
        let now = ListSaid::new(label.map(str::to_owned), content);
        Self {
            heard,
            set_by: stored.map_or(SetBy::List, |stored| stored.set_by),
            has_label: stored.is_some_and(|stored| stored.label.is_some()),
            gives_label: label.is_some(),
            is_known_photo: stored.is_some() && (!has_another_photo || is_named_again),
            has_another_photo,
            is_noted: heard.is_some_and(|heard| heard != Heard::Taken) && said == Some(&now),
        }
    }

    /// The image is new.
    pub(super) fn is_new(&self) -> bool {
        self.heard.is_none()
    }

    /// Counts it, once it is stored.
    pub(super) fn count(&self, report: &mut Report) {
        let labels = &mut report.labels;
        match self.heard {
            None => report.added += 1,
            Some(Heard::Taken) => report.replaced += 1,
            Some(_) if !self.is_known_photo => report.replaced += 1,
            Some(_) => report.unchanged += 1,
        }
        labels.left_photos += usize::from(self.is_known_photo && self.has_another_photo);
        match self.heard {
            Some(Heard::Taken) if !self.is_known_photo => labels.came_with_photo += 1,
            Some(Heard::Taken) => {
                labels.changed += 1;
                labels.changed_by_hand += usize::from(self.set_by == SetBy::Statement);
                labels.taken_away += usize::from(!self.gives_label);
            }
            Some(Heard::LeftAlone) => {
                match self.set_by {
                    // If a list set it and a person reverted that, the person's choice holds.
                    SetBy::Statement | SetBy::List | SetBy::Nobody => labels.left_by_hand += 1,
                    SetBy::Cleaning(_) => labels.left_by_cleaning += 1,
                    SetBy::Unknown => labels.left_unknown += 1,
                }
                labels.left_in_index += usize::from(!self.has_label);
            }
            Some(Heard::Agrees) | None => {}
        }
    }
}

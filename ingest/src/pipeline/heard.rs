//! What a list says of an image that may be stored already, and what a report says of it.

use cairn::{Heard, ListSaid, Reading, Record, SetBy};

use super::Report;

/// What became of labels that differ from the list's, in images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LabelReport {
    /// The list changed since it was read last, or overruled: its label is in force.
    pub changed: usize,
    /// Those of them whose label had been set by hand: by a statement or a program.
    pub changed_by_hand: usize,
    /// Those of them that the list gives no label any more.
    pub taken_away: usize,
    /// The label stays as it was set by hand, since the list says what it said before.
    pub left_by_hand: usize,
    /// The label stays as a cleaning left it.
    pub left_by_cleaning: usize,
    /// The label stays, since an earlier build did not note who set it.
    pub left_unknown: usize,
    /// Those left alone that have no label and stay index images.
    pub left_in_index: usize,
    /// Another photo was put under the key by hand, and stays: the list names the one that it named before.
    pub left_photos: usize,
}

/// What a list's word on one image comes to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    /// Whether the image is there; and what becomes of its label.
    heard: Option<Heard>,
    set_by: SetBy,
    /// The image has a label now.
    has_label: bool,
    /// The list gives a label.
    gives_label: bool,
    /// The image has the photo that the list names, or the list named it before.
    pub(super) is_known_photo: bool,
    /// The image has another photo than the one that the list names.
    has_another_photo: bool,
    /// Nothing is to be written.
    pub(super) is_noted: bool,
}

impl Word {
    /// What the list says by this label and the photo with this hash.
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

    /// The image was not there.
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
            Some(Heard::Taken) => {
                labels.changed += 1;
                labels.changed_by_hand += usize::from(self.set_by == SetBy::Statement);
                labels.taken_away += usize::from(!self.gives_label);
            }
            Some(Heard::LeftAlone) => {
                match self.set_by {
                    // What a list set, and a person took back, is in force by that person.
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

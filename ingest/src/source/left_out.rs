//! What a listing of a folder left out, counted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Number of endings and names that a sentence has.
const SHOWN: usize = 6;

/// Entries of a folder that are no photos to ingest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Files of kinds that are not read, by their ending in lower case; without an ending by "".
    pub unread: BTreeMap<String, usize>,
    /// Names that start with a dot.
    pub hidden: usize,
    /// Names of folders and files that systems leave, such as `@eaDir` and `Thumbs.db`.
    pub leftovers: BTreeSet<String>,
    /// Entries that a pattern excludes.
    pub excluded: usize,
    /// Folders that are databases.
    pub databases: Vec<String>,
}

impl LeftOut {
    pub(super) fn note_unread(&mut self, path: &Path) {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        *self.unread.entry(ending).or_default() += 1;
    }

    /// Adds those of another folder.
    pub fn extend(&mut self, other: LeftOut) {
        for (ending, count) in other.unread {
            *self.unread.entry(ending).or_default() += count;
        }
        self.hidden += other.hidden;
        self.leftovers.extend(other.leftovers);
        self.excluded += other.excluded;
        self.databases.extend(other.databases);
    }

    /// Sentences without a verb for what there is, the most surprising first; empty if nothing was left out.
    pub fn sentences(&self) -> Vec<String> {
        let counted = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let mut lines = Vec::new();
        let unread: usize = self.unread.values().sum();
        if unread > 0 {
            let mut endings: Vec<(&String, &usize)> = self.unread.iter().collect();
            endings.sort_by_key(|&(ending, count)| (std::cmp::Reverse(*count), ending));
            let name = |ending: &str| if ending.is_empty() { "no ending".to_owned() } else { format!(".{ending}") };
            let mut shown: Vec<String> =
                endings.iter().take(SHOWN).map(|(ending, count)| format!("{} {count}", name(ending))).collect();
            if endings.len() > SHOWN {
                shown.push(format!("{} more endings", endings.len() - SHOWN));
            }
            let kinds =
                if unread == 1 { "file of a kind that is not read" } else { "files of kinds that are not read" };
            lines.push(format!("{unread} {kinds}: {}", shown.join(", ")));
        }
        if self.excluded > 0 {
            lines.push(counted(self.excluded, "excluded entry", "excluded entries"));
        }
        if !self.databases.is_empty() {
            let names = super::first_few(self.databases.iter().map(String::as_str), self.databases.len());
            lines.push(format!("{}: {names}", counted(self.databases.len(), "database", "databases")));
        }
        if !self.leftovers.is_empty() {
            let names = self.leftovers.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            lines.push(format!("what systems leave behind: {names}"));
        }
        if self.hidden > 0 {
            lines.push(counted(self.hidden, "hidden entry", "hidden entries"));
        }
        lines
    }
}

//! The words of the language: which there are, which are planned, and which one a typing mistake meant.

use crate::ast::{Action, Augment, Column, Cut, Field, Gem, Loss, Role, Rule, Scope};

/// Every word of the language, in capitals: what a shell completes. Columns, fields, scopes, losses and rules have lists of
/// their own ([`Column::ALL`], [`Field::ALL`], [`Scope::ALL`], [`Loss::ALL`], [`Rule::ALL`]).
pub const KEYWORDS: &[&str] = &[
    "ANALYZE",
    "AND",
    "AS",
    "AUGMENT",
    "BACKUP",
    "BALANCE",
    "BATCH",
    "CHECK",
    "CLEAN",
    "CLEANS",
    "COMPACT",
    "DEEP",
    "DELETE",
    "DIM",
    "DROP",
    "DRY",
    "EF",
    "EMPTY",
    "EPOCHS",
    "EVIDENCE",
    "EXACT",
    "EXPLAIN",
    "FLUSH",
    "FORCE",
    "FREQ",
    "FRESH",
    "FROM",
    "GEM",
    "ID",
    "IN",
    "INCLUDING",
    "INLIERS",
    "INSERT",
    "INTO",
    "K",
    "KEEP",
    "LABEL",
    "LABELS",
    "LIKE",
    "LIMIT",
    "LOSS",
    "MARGIN",
    "MARKED",
    "MODEL",
    "MODELS",
    "NEIGHBOURS",
    "NN",
    "OVERWRITE",
    "PREDICT",
    "PUT",
    "QUERIES",
    "RATE",
    "REEMBED",
    "RELABEL",
    "RERANK",
    "RESTORE",
    "RETURN",
    "RULE",
    "RUN",
    "SCALE",
    "SCALEUP",
    "SEARCH",
    "SEED",
    "SEGMENTS",
    "SELF",
    "SEQ",
    "SHOW",
    "SINCE",
    "SORT",
    "STALE",
    "STATUS",
    "SUSPECTS",
    "TAU",
    "THUMBNAILS",
    "TO",
    "TOP",
    "TRAIN",
    "TRUNK",
    "UNDO",
    "UNLABEL",
    "USE",
    "VALIDATION",
    "VECTOR",
    "VERIFY",
    "VOTERS",
    "WHERE",
];

/// Words that begin a statement.
pub(crate) const STATEMENTS: &[&str] = &[
    "SEARCH", "PREDICT", "PUT", "DELETE", "LABEL", "UNLABEL", "SHOW", "EXPLAIN", "FLUSH", "COMPACT", "CHECK", "BACKUP",
    "TRAIN", "CLEAN", "UNDO", "REEMBED", "USE", "DROP",
];

/// Words that begin a clause of SEARCH.
pub(crate) const CLAUSES: &[&str] =
    &["IN", "WHERE", "K", "LIMIT", "EXACT", "EF", "RERANK", "FRESH", "SINCE", "STALE", "INCLUDING", "RETURN", "INTO"];

/// Words that begin a clause about freshness, of SEARCH and of PREDICT.
pub(crate) const FRESHNESS: &[&str] = &["FRESH", "SINCE", "STALE"];

/// Options and clauses of TRAIN.
pub(crate) const TRAININGS: &[&str] = &[
    "loss",
    "dim",
    "epochs",
    "batch",
    "rate",
    "margin",
    "scale",
    "seed",
    "validation",
    "BALANCE",
    "TRUNK",
    "augment",
    "scaleup",
    "gem",
    "FROM",
    "FORCE",
    "DRY RUN",
];

/// Options and clauses of CLEAN.
pub(crate) const CLEANINGS: &[&str] = &[
    "nn",
    "neighbours",
    "inliers",
    "freq",
    "RULE",
    "top",
    "evidence",
    "RELABEL",
    "RELABEL EMPTY",
    "UNLABEL",
    "KEEP VOTERS",
    "THUMBNAILS",
    "DRY RUN",
    "INTO",
];

/// Words after SHOW.
pub(crate) const SHOWN: &[&str] =
    &["STATUS", "LABELS", "SEGMENTS", "STALE", "CLEANS", "CLEAN", "MARKED", "SUSPECTS", "MODELS"];

/// Words after BACKUP that one may take for statements.
pub(crate) const BACKUPS: &[&str] = &["VERIFY", "RESTORE"];

/// Statements and clauses that are designed and not built. VERIFY of a search is not; behind BACKUP it is a built word.
const PLANNED: &[&str] =
    &["DIFFUSE", "EVALUATE", "EXPAND", "EXPLORE", "EXPORT", "INGEST", "RECIPROCAL", "TARGET", "VERIFY", "WHY"];

/// Planned clauses that can follow an image: a name that one of them takes later would change what a statement means.
const PLANNED_CLAUSES: &[&str] = &["EXPAND", "DIFFUSE", "EXPLORE", "RECIPROCAL", "VERIFY", "TARGET"];

/// What other languages say, and what it is here.
const FOREIGN: &[(&str, &str)] = &[
    ("SELECT", "SEARCH"),
    ("FIND", "SEARCH"),
    ("QUERY", "SEARCH"),
    ("ADD", "PUT"),
    ("INSERT", "PUT"),
    ("UPDATE", "PUT"),
    ("UPSERT", "PUT"),
    ("REMOVE", "DELETE"),
    ("STATUS", "SHOW STATUS"),
    ("LABELS", "SHOW LABELS"),
    ("SEGMENTS", "SHOW SEGMENTS"),
    ("STALE", "SHOW STALE"),
    ("CLEANS", "SHOW CLEANS"),
    ("MARKED", "SHOW MARKED"),
    ("SUSPECTS", "SHOW SUSPECTS"),
    ("MODELS", "SHOW MODELS"),
    ("FIT", "TRAIN"),
    ("FINETUNE", "TRAIN"),
    ("ROLLBACK", "UNDO LABEL, or UNDO CLEAN"),
    ("REVERT", "UNDO LABEL, or UNDO CLEAN"),
    ("EMBED", "REEMBED"),
    ("REPLACE", "OVERWRITE"),
    ("FORCE", "OVERWRITE"),
    ("LR", "rate"),
    ("SUSPECTS", "RULE suspects"),
    ("PAPER", "RULE paper"),
    ("LIMIT", "top"),
    ("MIN_INLIERS", "inliers"),
    ("TAU_FREQ", "freq"),
    ("EMPTY", "RELABEL EMPTY"),
    ("VACUUM", "COMPACT"),
    ("OPTIMIZE", "COMPACT"),
    ("MERGE", "COMPACT"),
    ("FSCK", "CHECK"),
    ("DUMP", "BACKUP TO"),
    ("SYNC", "FLUSH"),
    ("WAIT", "FRESH"),
    ("ANALYZE", "EXPLAIN ANALYZE"),
    ("FROM", "IN"),
    ("AND", "WHERE"),
    ("TOP", "LIMIT"),
    ("SELF", "INCLUDING SELF"),
];

/// Whether `list` has the word, in any case.
pub(crate) fn contains(list: &[&str], word: &str) -> bool {
    list.iter().any(|entry| entry.eq_ignore_ascii_case(word))
}

/// Whether the word is designed and not built.
pub(crate) fn is_planned(word: &str) -> bool {
    contains(PLANNED, word)
}

/// Whether a word where an image is expected is the next clause rather than the name of an image.
pub(crate) fn is_reserved(word: &str) -> bool {
    contains(CLAUSES, word)
        || contains(PLANNED_CLAUSES, word)
        || contains(&["AS", "LABEL", "OVERWRITE", "ID", "VECTOR", "QUERIES"], word)
}

/// The word of `list` that was probably meant.
pub(crate) fn meant<'a>(word: &str, list: &[&'a str]) -> Option<&'a str> {
    let typed: Vec<char> = word.chars().take(MEANT_LONGEST + 1).map(|letter| letter.to_ascii_lowercase()).collect();
    if typed.len() > MEANT_LONGEST {
        return None;
    }
    // Compared by its first word: SHOW STATUS is meant where SHOW may stand.
    let fits = |here: &str| here.split(' ').next().is_some_and(|begins| contains(list, begins));
    if let Some((_, here)) = FOREIGN.iter().find(|(foreign, here)| foreign.eq_ignore_ascii_case(word) && fits(here)) {
        return Some(here);
    }
    let allowed = (typed.len() / 3).max(1);
    list.iter()
        .map(|&entry| (distance(&typed, &entry.to_ascii_lowercase().chars().collect::<Vec<_>>()), entry))
        .filter(|&(distance, entry)| distance <= allowed && distance < entry.len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, entry)| entry)
}

/// The name of a list that one can have meant by another one, which is not in it: at most a third of the letters differ.
///
/// Complexity: names that are much longer or shorter are passed over; each other one costs the product of both lengths.
pub fn nearest_name<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |name: &str| name.chars().flat_map(char::to_lowercase).take(NAME_LONGEST).collect::<Vec<char>>();
    let typed = letters(name);
    let allowed = (typed.len() / 3).max(1);
    let near = |other: &'a str| {
        // A letter has 1 to 4 bytes.
        let could_be = other.len() <= 4 * (typed.len() + allowed) && other != name;
        let other_letters = could_be.then(|| letters(other))?;
        if other_letters.len().abs_diff(typed.len()) > allowed {
            return None;
        }
        let distance = distance(&typed, &other_letters);
        (distance <= allowed && distance < typed.len()).then_some((distance, other))
    };
    names.filter_map(near).min_by_key(|&(distance, _)| distance).map(|(_, other)| other)
}

/// Letters of a name that are compared with others'.
const NAME_LONGEST: usize = 64;

/// Longer words than this have no likely meaning, and comparing them costs the square of their length.
const MEANT_LONGEST: usize = 24;

/// Edits between two words: a letter more, less, changed, or swapped with its neighbour.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, &letter) in left.iter().enumerate() {
        let mut this = vec![row + 1];
        for (column, &other) in right.iter().enumerate() {
            let changed = last[column] + usize::from(letter != other);
            let mut best = changed.min(last[column + 1] + 1).min(this[column] + 1);
            if row > 0 && column > 0 && letter == right[column - 1] && left[row - 1] == other {
                best = best.min(before_last[column - 1] + 1);
            }
            this.push(best);
        }
        before_last = std::mem::replace(&mut last, this);
    }
    last[right.len()]
}

impl Column {
    /// Every column, in the order of their description.
    pub const ALL: [Self; 10] = [
        Self::Query,
        Self::Rank,
        Self::Id,
        Self::Similarity,
        Self::Instance,
        Self::InstanceScore,
        Self::Stage,
        Self::Label,
        Self::Split,
        Self::Path,
    ];

    /// Its name in RETURN and above an answer.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Rank => "rank",
            Self::Id => "id",
            Self::Similarity => "similarity",
            Self::Instance => "instance",
            Self::InstanceScore => "instance_score",
            Self::Stage => "stage",
            Self::Label => "label",
            Self::Split => "split",
            Self::Path => "path",
        }
    }
}

impl Field {
    /// Every field that WHERE can test.
    pub const ALL: [Self; 5] = [Self::Label, Self::Instance, Self::Split, Self::Path, Self::Id];

    /// Its name in WHERE.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Instance => "instance",
            Self::Split => "split",
            Self::Path => "path",
            Self::Id => "id",
        }
    }
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Index, Self::Train, Self::All];

    /// Its name after IN.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Train => "train",
            Self::All => "all",
        }
    }
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 2] = [Self::Train, Self::Index];

    /// Its name after AS and in the column and field `split`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Index => "index",
        }
    }

    /// The role of this name, in any case.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name().eq_ignore_ascii_case(word))
    }
}

impl Loss {
    /// Every loss.
    pub const ALL: [Self; 7] = [
        Self::Discriminant,
        Self::ArcFace,
        Self::CosFace,
        Self::AdaCos,
        Self::Softmax,
        Self::Triplet,
        Self::AveragePrecision,
    ];

    /// Its name after `loss=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discriminant => "lda",
            Self::ArcFace => "arcface",
            Self::CosFace => "cosface",
            Self::AdaCos => "adacos",
            Self::Softmax => "softmax",
            Self::Triplet => "triplet",
            Self::AveragePrecision => "ap",
        }
    }
}

impl Augment {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Soft, Self::Hard];

    /// Its name after `augment=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }
}

impl Gem {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Fixed, Self::Learnt];

    /// Its name after `gem=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Learnt => "learnt",
        }
    }
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::KeepVoters, Self::Unlabel, Self::Relabel, Self::RelabelEmpty];

    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeepVoters => "KEEP VOTERS",
            Self::Unlabel => "UNLABEL",
            Self::Relabel => "RELABEL",
            Self::RelabelEmpty => "RELABEL EMPTY",
        }
    }

    /// Whether images get the label that is proposed for them: only the suspects have one.
    pub const fn relabels(self) -> bool {
        matches!(self, Self::Relabel | Self::RelabelEmpty)
    }
}

impl<N, X> Cut<N, X> {
    /// Its name in front of `=`.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Top(_) => "top",
            Self::Evidence(_) => "evidence",
        }
    }
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 2] = [Self::Paper, Self::Suspects];

    /// Its name after RULE.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Suspects => "suspects",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_understood() {
        assert_eq!(meant("SERCH", STATEMENTS), Some("SEARCH"));
        assert_eq!(meant("serach", STATEMENTS), Some("SEARCH"));
        assert_eq!(meant("limt", CLAUSES), Some("LIMIT"));
        assert_eq!(meant("select", STATEMENTS), Some("SEARCH"));
        assert_eq!(meant("status", STATEMENTS), Some("SHOW STATUS"));
        assert_eq!(meant("fsck", STATEMENTS), Some("CHECK"));
        assert_eq!(meant("dump", STATEMENTS), Some("BACKUP TO"));
        assert_eq!(meant("stale", STATEMENTS), Some("SHOW STALE"));
        assert_eq!(meant("wait", CLAUSES), Some("FRESH"));
        assert_eq!(meant("suspects", STATEMENTS), Some("SHOW SUSPECTS"));
        assert_eq!(meant("suspects", CLEANINGS), Some("RULE suspects"));
        assert_eq!(meant("neighbors", CLEANINGS), Some("neighbours"));
        assert_eq!(meant("empty", CLEANINGS), Some("RELABEL EMPTY"));
        assert_eq!(meant("banana", STATEMENTS), None);
        assert_eq!(meant("x", CLAUSES), None);
        assert_eq!(meant(&"s".repeat(10_000), CLAUSES), None);
    }

    #[test]
    fn the_name_that_was_meant() {
        let names = ["Louvre", "Eiffel Tower", "Eiffel tower", "louvre palace", "X"];
        let meant = |name| nearest_name(name, names.iter().copied());
        assert_eq!(meant("Louvr"), Some("Louvre"));
        assert_eq!(meant("EIFFEL TOWER"), Some("Eiffel Tower"));
        assert_eq!(meant("Pantheon"), None);
        assert_eq!(meant("Y"), None);
        assert_eq!(meant("Louvre"), None, "it is in the list itself, and nothing else is near");
    }

    #[test]
    fn distances() {
        let letters = |word: &str| word.chars().collect::<Vec<_>>();
        for (left, right, edits) in
            [("", "", 0), ("a", "", 1), ("", "abc", 3), ("abc", "acb", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(&letters(left), &letters(right)), edits, "{left} {right}");
            assert_eq!(distance(&letters(right), &letters(left)), edits, "{right} {left}");
        }
    }

    #[test]
    fn no_word_is_both_built_and_planned() {
        let built = [CLAUSES, STATEMENTS, SHOWN, TRAININGS, CLEANINGS].into_iter().flatten();
        for word in built.flat_map(|words| words.split(' ')) {
            assert!(contains(KEYWORDS, word) && !is_planned(word), "{word}");
        }
        assert!(CLAUSES.iter().filter(|word| contains(FRESHNESS, word)).eq(FRESHNESS));
        assert!(PLANNED_CLAUSES.iter().all(|word| is_planned(word)));
    }
}

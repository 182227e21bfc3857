//! The words that start statements and clauses: those that exist, those that are planned, and the guess of what a typing mistake
//! meant.

use strsim::osa_distance;

/// Words that start a statement.
pub(crate) const STATEMENTS: &[&str] = &[
    "SEARCH", "PREDICT", "PUT", "DELETE", "LABEL", "UNLABEL", "SHOW", "EXPLAIN", "FLUSH", "COMPACT", "CHECK", "BACKUP",
    "TRAIN", "CLEAN", "UNDO", "REEMBED", "USE", "DROP",
];

/// Words that start a clause of SEARCH.
pub(crate) const CLAUSES: &[&str] = &[
    "IN",
    "WHERE",
    "K",
    "LIMIT",
    "EXACT",
    "EF",
    "EXPAND",
    "AUGMENT",
    "SUPERGLOBAL",
    "DIFFUSE",
    "EXPLORE",
    "RECIPROCAL",
    "FUSE",
    "RERANK",
    "MIN",
    "COLLAPSE",
    "FRESH",
    "SINCE",
    "STALE",
    "INCLUDING",
    "RETURN",
    "INTO",
];

/// Words that start a clause about freshness, of SEARCH and of PREDICT.
pub(crate) const FRESHNESS: &[&str] = &["FRESH", "SINCE", "STALE"];

/// Words after SHOW.
pub(crate) const SHOWN: &[&str] =
    &["STATUS", "LABELS", "SEGMENTS", "STALE", "CLEANS", "CLEAN", "MARKED", "SUSPECTS", "MODELS"];

/// Words after BACKUP that people may type as statements.
pub(crate) const BACKUPS: &[&str] = &["VERIFY", "RESTORE"];

/// Statements and clauses that are planned but not built. VERIFY of a search is not built; BACKUP VERIFY is.
const PLANNED: &[&str] = &["EVALUATE", "EXPORT", "INGEST", "RECOGNIZE", "TARGET", "VERIFY", "WHY"];

/// Planned clauses that can follow an image: if such a word could be a name, the meaning of a statement would change later.
const PLANNED_CLAUSES: &[&str] = &["VERIFY", "TARGET"];

/// Words of other languages, and the words of this one.
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
    ("DEDUP", "COLLAPSE NEAR"),
    ("DISTINCT", "COLLAPSE NEAR"),
    ("THRESHOLD", "MIN SIMILARITY"),
    ("SIMILARITY", "MIN SIMILARITY"),
    ("NEAR", "COLLAPSE NEAR"),
    ("AQE", "EXPAND AQE"),
    ("QE", "EXPAND AQE"),
    ("ALPHA", "EXPAND ALPHA"),
];

/// Whether `list` has the word, in any case.
pub(crate) fn contains(list: &[&str], word: &str) -> bool {
    list.iter().any(|entry| entry.eq_ignore_ascii_case(word))
}

/// Whether the word is planned but not built.
pub(crate) fn is_planned(word: &str) -> bool {
    contains(PLANNED, word)
}

/// Whether a word where an image is expected is the next clause, not the name of an image.
pub(crate) fn is_reserved(word: &str) -> bool {
    contains(CLAUSES, word)
        || contains(PLANNED_CLAUSES, word)
        || contains(&["AS", "LABEL", "OVERWRITE", "ID", "VECTOR", "QUERIES"], word)
}

/// The word of `list` that was probably meant.
pub(crate) fn meant<'a>(word: &str, list: &[&'a str]) -> Option<&'a str> {
    let letters = word.chars().take(MEANT_LONGEST + 1).count();
    if letters > MEANT_LONGEST {
        return None;
    }
    let typed = word.to_ascii_lowercase();
    // Compared by its first word: the guess may be SHOW STATUS where SHOW is allowed.
    let fits = |here: &str| here.split(' ').next().is_some_and(|begins| contains(list, begins));
    if let Some((_, here)) = FOREIGN.iter().find(|(foreign, here)| foreign.eq_ignore_ascii_case(word) && fits(here)) {
        return Some(here);
    }
    let allowed = (letters / 3).max(1);
    list.iter()
        .map(|&entry| (osa_distance(&typed, &entry.to_ascii_lowercase()), entry))
        .filter(|&(distance, entry)| distance <= allowed && distance < entry.len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, entry)| entry)
}

/// The name of a list that was probably meant by a name that is not in it: at most a third of the letters differ.
///
/// Complexity: it skips names that are much longer or shorter; each other one costs the product of both lengths.
pub fn nearest_name<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters = |name: &str| name.chars().flat_map(char::to_lowercase).take(NAME_LONGEST).collect::<String>();
    let typed = letters(name);
    let many = typed.chars().count();
    let allowed = (many / 3).max(1);
    let near = |other: &'a str| {
        // A letter has 1 to 4 bytes.
        let could_be = other.len() <= 4 * (many + allowed) && other != name;
        let other_letters = could_be.then(|| letters(other))?;
        if other_letters.chars().count().abs_diff(many) > allowed {
            return None;
        }
        let distance = osa_distance(&typed, &other_letters);
        (distance <= allowed && distance < many).then_some((distance, other))
    };
    names.filter_map(near).min_by_key(|&(distance, _)| distance).map(|(_, other)| other)
}

/// Letters of a name that are compared.
const NAME_LONGEST: usize = 64;

/// Longer words have no likely meaning, and comparing them costs the square of their length.
const MEANT_LONGEST: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options;

    #[test]
    fn typing_mistakes_are_understood() {
        let cleanings = options::names(&options::CLEAN);
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
        assert_eq!(meant("suspects", &cleanings), Some("RULE suspects"));
        assert_eq!(meant("neighbors", &cleanings), Some("neighbours"));
        assert_eq!(meant("empty", &cleanings), Some("RELABEL EMPTY"));
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
    fn no_word_is_both_built_and_planned() {
        let parts = [options::names(&options::TRAIN), options::names(&options::CLEAN)].concat();
        let built = [CLAUSES, STATEMENTS, SHOWN, &parts].into_iter().flatten();
        for word in built.flat_map(|words| words.split(' ')) {
            assert!(!is_planned(word), "{word}");
        }
        assert!(CLAUSES.iter().filter(|word| contains(FRESHNESS, word)).eq(FRESHNESS));
        assert!(PLANNED_CLAUSES.iter().all(|word| is_planned(word)));
    }
}

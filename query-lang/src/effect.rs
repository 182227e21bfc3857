//! The effects of a statement: whether it changes the database (programs open a database for reading until a statement does),
//! which rows it searches, and which report it writes.

use crate::ast::{Flip, Freshness, Scope, Statement};
use crate::value::Value;

/// The effect of a statement on the database that runs it. Files that it names (a report, a backup) are not part of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing.
    Reads,
    /// Changes nothing itself, but applies deferred writes first.
    Drains,
    /// Changes the stored data or its layout on the disk.
    Writes,
}

impl Statement {
    /// The effect of the statement on the database that runs it.
    pub fn effect(&self) -> Effect {
        // The match names every statement, so that a new one must decide.
        match self {
            Self::Search(search) => of_freshness(search.freshness.as_ref().map(|freshness| freshness.node)),
            Self::Predict { freshness, .. } => of_freshness(freshness.as_ref().map(|freshness| freshness.node)),
            Self::ShowStatus
            | Self::ShowLabels
            | Self::ShowSegments
            | Self::ShowStale
            | Self::ShowCleans
            | Self::ShowClean { .. }
            | Self::ShowMarked
            | Self::ShowSuspects { .. }
            | Self::ShowModels
            | Self::Check { .. }
            | Self::Backup { .. }
            | Self::BackupVerify { .. }
            | Self::BackupRestore { .. } => Effect::Reads,
            Self::Train(train) if train.flip.as_ref().is_some_and(|flip| flip.node == Flip::Never) => Effect::Reads,
            Self::Clean(clean) if clean.dry_run => Effect::Reads,
            Self::Put { .. }
            | Self::Delete { .. }
            | Self::Label { .. }
            | Self::Unlabel { .. }
            | Self::Train(_)
            | Self::Clean(_)
            | Self::UndoClean
            | Self::UndoLabel
            | Self::Reembed { .. }
            | Self::UseModel { .. }
            | Self::DropModel { .. }
            | Self::Flush
            | Self::Compact { .. } => Effect::Writes,
            Self::Explain { analyze: false, .. } => Effect::Reads,
            Self::Explain { analyze: true, statement } => statement.node.effect(),
        }
    }

    /// The rows that the statement searches, for facts that depend on them; `None` if it searches none. A vote reads train
    /// images.
    pub fn scope(&self) -> Option<Scope> {
        match self {
            Self::Search(search) => Some(search.scope.as_ref().map_or_else(Scope::default, |scope| scope.node)),
            Self::Predict { .. } => Some(Scope::Train),
            Self::Explain { statement, .. } => statement.node.scope(),
            _ => None,
        }
    }

    /// The path of the report of INTO. EXPLAIN writes none.
    pub fn report(&self) -> Option<&Value<String>> {
        let into = match self {
            Self::Search(search) => &search.into,
            Self::Clean(clean) => &clean.into,
            _ => return None,
        };
        into.as_ref().map(|path| &path.node)
    }
}

fn of_freshness(freshness: Option<Freshness<Value<u64>>>) -> Effect {
    match freshness {
        None | Some(Freshness::AsIs) => Effect::Reads,
        Some(Freshness::Fresh | Freshness::Since(_) | Freshness::Within(_)) => Effect::Drains,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::parser::parse;

    #[test]
    fn statements_say_whether_they_write() {
        let effect = |text: &str| {
            let parsed = parse(text);
            assert!(parsed.diagnostics.is_empty(), "{text}: {:?}", parsed.diagnostics);
            parsed.statements.first().unwrap().node.effect()
        };
        for text in [
            "SEARCH ID 'a'",
            "PREDICT ID 'a'",
            "SHOW STATUS",
            "SHOW SUSPECTS",
            "CHECK DEEP",
            "BACKUP TO 'folder'",
            "CLEAN DRY RUN",
            "TRAIN DRY RUN",
            "EXPLAIN DELETE ID 'a'",
            "EXPLAIN ANALYZE SEARCH ID 'a'",
        ] {
            assert_eq!(effect(text), Effect::Reads, "{text}");
        }
        for text in ["SEARCH ID 'a' FRESH", "PREDICT ID 'a' SINCE SEQ 5", "EXPLAIN ANALYZE SEARCH ID 'a' STALE <= 5s"] {
            assert_eq!(effect(text), Effect::Drains, "{text}");
        }
        for text in [
            "PUT ID 'a' VECTOR [1, 2]",
            "DELETE ID 'a'",
            "LABEL ID 'a' AS 'x'",
            "CLEAN",
            "TRAIN",
            "TRAIN FORCE",
            "COMPACT",
            "COMPACT NEIGHBOURS",
            "EXPLAIN ANALYZE DELETE ID 'a'",
        ] {
            assert_eq!(effect(text), Effect::Writes, "{text}");
        }
    }
}

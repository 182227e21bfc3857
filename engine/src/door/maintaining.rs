//! The maintenance statements: what they need of the program, and what they show.

use super::database::Database;
use super::outcome::{Outcome, Table};
use super::ports::{Maintain, Ports};
use crate::error::{Error, Result};
use cairndb_query::{CleanPlan, CleanRule};

impl Ports {
    /// Whoever trains and embeds again.
    pub(super) fn maintainer(&self, statement: &str) -> Result<&dyn Maintain> {
        self.maintain.as_deref().ok_or_else(|| {
            Error::invalid(format!("{statement} needs a model, and this database brings its own vectors"))
                .help("create a database with a model: cairn create DB --model lite0-gem")
        })
    }
}

impl Database {
    pub(super) fn run_cleaning(&self, plan: &CleanPlan, ports: &Ports) -> Result<Outcome> {
        let features = match (&plan.rule, &ports.features) {
            (CleanRule::Paper, Some(load)) => Some(load()?),
            _ => None,
        };
        Ok(Outcome::Cleaned(Box::new(self.clean(plan, features.as_deref(), ports.watch.as_deref())?)))
    }

    pub(super) fn table_of_models(&self) -> Result<Table> {
        let rows = self.models()?.into_iter().map(|entry| {
            let (name, fingerprint) = match entry.model {
                Some(model) => (model.name, model.fingerprint.chars().take(12).collect()),
                None => ("none: vectors are brought".to_owned(), String::new()),
            };
            let in_force = if entry.in_force { "yes" } else { "no" }.to_owned();
            vec![entry.number.to_string(), name, fingerprint, entry.dimension.to_string(), in_force]
        });
        Ok(Table { columns: named(["model", "name", "fingerprint", "dimension", "in_force"]), rows: rows.collect() })
    }

    pub(super) fn table_of_cleanings(&self) -> Result<Table> {
        let rows = self.cleanings()?.into_iter().map(|entry| {
            let state = match (entry.undone, entry.keep_voters) {
                (true, _) => "undone",
                (false, true) => "marked",
                (false, false) => "done",
            };
            let (number, sequence, found) =
                (entry.number.to_string(), entry.sequence.to_string(), entry.found.to_string());
            vec![number, sequence, entry.what, found, state.to_owned()]
        });
        Ok(Table { columns: named(["clean", "sequence", "what", "images", "state"]), rows: rows.collect() })
    }
}

fn named<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).into()
}

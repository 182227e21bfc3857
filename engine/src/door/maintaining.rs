//! The maintenance statements: what they need of the program and of the database before they begin, and what they show.

use super::database::Database;
use super::outcome::{Outcome, Table};
use super::ports::{Maintain, Maintained, ModelChange, Ports};
use crate::background::ModelEntry;
use crate::clean::Standing;
use crate::error::{Error, Result};
use crate::id::SpaceId;
use crate::options::ModelInfo;
use crate::progress::Watch;
use crate::report::Report;
use cairndb_query::{CleanPlan, CleanRule, TrainPlan};

/// Digits of a fingerprint that are shown.
const FINGERPRINT_SHOWN: usize = 12;
/// Digits of it that tell models of one name apart.
const FINGERPRINT_IN_NAME: usize = 6;

impl Database {
    /// The port that trains and embeds again.
    fn maintainer<'p>(&self, ports: &'p Ports, statement: &str) -> Result<&'p dyn Maintain> {
        ports.maintain.as_deref().ok_or_else(|| match self.options().model {
            None => Error::invalid(format!("{statement} needs a model, and this database brings its own vectors"))
                .help("create a database with a model that embeds photos (Options::model), or change this one's (Database::change_model)"),
            Some(model) => Error::invalid(format!(
                "this program cannot train or embed, and {statement} needs that for the model '{}'",
                model.name
            ))
            .help("hand them in (Ports::maintain), or use the program cairn"),
        })
    }

    /// Adopts the result of a [`Maintain`]: stores the files of the new model, makes the descriptors and predictions that are
    /// missing ([`Database::change_model`]), and activates it. Without a change it only returns the report.
    ///
    /// # Errors
    /// As [`Database::change_model`]; the active model stays then.
    pub fn adopt(&self, maintained: Maintained, watch: Option<&dyn Watch>) -> Result<Report> {
        let Maintained { mut report, change } = maintained;
        let Some(ModelChange { target, reembed }) = change else { return Ok(report) };
        let (name, dimension) = (target.model.as_ref().map(|model| model.name.clone()), target.dimension);
        let number = self.change_model(target, reembed.as_ref(), watch)?;
        let lines = [
            ("active model", number.to_string()),
            ("name", name.unwrap_or_default()),
            ("dimension", dimension.to_string()),
        ];
        report.lines.extend(lines.map(|(name, value)| (name.to_owned(), value)));
        report.lines.extend(reembed.activated().lines);
        Ok(report)
    }

    pub(super) fn run_training(&self, plan: &TrainPlan, ports: &Ports) -> Result<Report> {
        let watch = ports.watch.as_deref();
        self.adopt(self.maintainer(ports, "TRAIN")?.train(self, plan, watch)?, watch)
    }

    pub(super) fn run_reembedding(&self, weights: Option<&str>, ports: &Ports) -> Result<Report> {
        self.adopt(self.maintainer(ports, "REEMBED")?.reembed(self, weights)?, ports.watch.as_deref())
    }

    pub(super) fn run_use(&self, number: u64, ports: &Ports) -> Result<Report> {
        self.adopt(self.maintainer(ports, "USE MODEL")?.use_model(self, number)?, ports.watch.as_deref())
    }

    pub(super) fn run_cleaning(&self, plan: &CleanPlan, ports: &Ports) -> Result<Outcome> {
        // Before networks are loaded.
        self.check_cleaning(plan)?;
        let features = match (&plan.rule, &ports.features) {
            (CleanRule::Paper, Some(load)) => Some(load()?),
            _ => None,
        };
        Ok(Outcome::Cleaned(Box::new(self.clean(plan, features.as_deref(), ports.watch.as_deref())?)))
    }

    /// Drops a model; without `force` not the descriptors that other models were trained on.
    pub(super) fn run_drop(&self, number: u64, force: bool, ports: &Ports) -> Result<Outcome> {
        let known = u32::try_from(number);
        let known = known.map_err(|_| Error::not_found(format!("there is no model {number}")))?;
        if let (false, Some(maintain)) = (force, ports.maintain.as_deref())
            && let Some(built) = self.built_on(known, maintain)?
        {
            let message = format!(
                "model {number} is the network's own descriptors, on which model {} was trained: without them every training reads \
                 all photos again",
                built.number
            );
            return Err(Error::invalid(message).help(format!(
                "keep it; or, if nothing is to be trained or the photos are there: DROP MODEL {number} FORCE"
            )));
        }
        let dropped = self.models()?.into_iter().find(|entry| entry.number == known).and_then(|entry| entry.model);
        self.drop_model(known)?;
        if let (Some(model), Some(maintain)) = (dropped, ports.maintain.as_deref()) {
            let others: Vec<ModelInfo> = self.models()?.into_iter().filter_map(|entry| entry.model).collect();
            let released = maintain.released(&model, &others)?;
            let (_no_flip, core) = self.shared.enter()?;
            core.keep(|batch| released.iter().try_for_each(|beginning| batch.delete_files(beginning)))?;
        }
        Ok(Outcome::Done(format!("model {number} and its descriptors are gone")))
    }

    /// A model that was trained on the descriptors of this one, where no other epoch has them too.
    fn built_on(&self, number: u32, maintain: &dyn Maintain) -> Result<Option<ModelEntry>> {
        let mut models = self.models()?;
        let Some(at) = models.iter().position(|entry| entry.number == number) else { return Ok(None) };
        let dropped = models.remove(at);
        let Some(network) = dropped.model.filter(|_| !dropped.active) else { return Ok(None) };
        let is_it = |entry: &ModelEntry| entry.model.as_ref().is_some_and(|it| it.fingerprint == network.fingerprint);
        if models.iter().any(|entry| is_it(entry) && entry.unfinished.is_none()) {
            return Ok(None);
        }
        for entry in models {
            if let Some(model) = entry.model.as_ref().filter(|_| !is_it(&entry))
                && maintain.base(model)?.fingerprint == network.fingerprint
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    pub(super) fn table_of_models(&self) -> Result<Table> {
        let models = self.models()?;
        let snapshot = self.snapshot();
        let (counts, pinned) = (snapshot.counts(), &snapshot.state.pinned);
        let images = counts.train + counts.index;
        let kept = |entry: &ModelEntry| -> Result<String> {
            let there = pinned.count_vectors(SpaceId(entry.number))?;
            // Missing descriptors are made when the model becomes active.
            Ok(if there < images { format!("kept: {there} of {images} descriptors") } else { "kept".to_owned() })
        };
        let row = |(at, entry): (usize, &ModelEntry)| {
            let fingerprint = entry.model.as_ref().map_or("", |model| model.fingerprint.as_str());
            Ok(vec![
                entry.number.to_string(),
                name_among(&models, at),
                start_of(fingerprint, FINGERPRINT_SHOWN),
                entry.dimension.to_string(),
                match (entry.active, entry.unfinished) {
                    (true, _) => "active".to_owned(),
                    (false, None) => kept(entry)?,
                    (false, Some(done)) => format!("unfinished: {done} of {images} descriptors"),
                },
            ])
        };
        let rows = models.iter().enumerate().map(row).collect::<Result<_>>()?;
        Ok(Table { columns: named(["model", "name", "fingerprint", "dimension", "state"]), rows })
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

    pub(super) fn table_of_cleaned(&self, number: u64) -> Result<Table> {
        let rows = self.cleaned(number)?.into_iter().map(|image| {
            let state = match image.standing {
                Standing::Stands => "stands",
                Standing::ChangedSince => "changed since",
                Standing::Undone => "undone",
            };
            vec![image.key, image.label, image.becomes.unwrap_or_default(), state.to_owned()]
        });
        Ok(Table { columns: named(["id", "label", "becomes", "state"]), rows: rows.collect() })
    }

    pub(super) fn table_of_marks(&self) -> Result<Table> {
        let rows = self.marked()?.into_iter().map(|mark| vec![mark.key, mark.label, mark.cleaning.to_string()]);
        Ok(Table { columns: named(["id", "label", "clean"]), rows: rows.collect() })
    }
}

/// The name of a model; where others bear it too, with what tells it from them.
fn name_among(models: &[ModelEntry], at: usize) -> String {
    let Some(model) = &models[at].model else { return "none (your own vectors)".to_owned() };
    let named_so = || {
        let others = models.iter().enumerate().filter(|&(other, _)| other != at);
        others.filter_map(|(other, entry)| Some((other, entry.model.as_ref()?))).filter(|(_, it)| it.name == model.name)
    };
    let mut name = model.name.clone();
    if named_so().any(|(_, other)| other.fingerprint != model.fingerprint) {
        name.push_str(&format!(" {}", start_of(&model.fingerprint, FINGERPRINT_IN_NAME)));
    }
    if named_so().any(|(other, it)| other < at && it.fingerprint == model.fingerprint) {
        name.push_str(", embedded again");
    }
    name
}

fn start_of(fingerprint: &str, digits: usize) -> String {
    fingerprint.chars().take(digits).collect()
}

fn named<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_one_name_are_told_apart() {
        let entry = |number: u32, name: &str, fingerprint: &str| ModelEntry {
            number,
            model: Some(ModelInfo {
                name: name.to_owned(),
                fingerprint: fingerprint.to_owned(),
                settings: String::new(),
            }),
            dimension: 8,
            active: number == 0,
            unfinished: None,
        };
        let models = [
            entry(0, "net", "0123456789"),
            entry(1, "net+trained", "abcdefghij"),
            entry(2, "net+trained", "bcdefghijk"),
            entry(4, "net", "0123456789"),
            entry(5, "net+trained", "abcdefghij"),
        ];
        let names: Vec<String> = (0..models.len()).map(|at| name_among(&models, at)).collect();
        assert_eq!(
            names,
            [
                "net",
                "net+trained abcdef",
                "net+trained bcdefg",
                "net, embedded again",
                "net+trained abcdef, embedded again"
            ]
        );
    }
}

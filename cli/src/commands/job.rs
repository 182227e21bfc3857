//! The progress of `cairn maintain run`, kept in the database, so that running the same command again resumes it.

use cairn::Database;

use crate::failure::Result;
use crate::terminal::note;

/// The name under which a database keeps it.
const NAME: &str = "maintain run";

/// The step that cleans, from 0; the others train.
const CLEANING: u64 = 1;

/// The statements of a job on a database.
pub(super) struct Job<'a> {
    pub(super) database: &'a Database,
    /// All of them as text: other statements start another job.
    pub(super) text: &'a str,
}

impl Job<'_> {
    /// The number of steps that are done: those that were recorded, and one that finished without being recorded. A cleaning that
    /// was undone since does not count: the training after it would learn from the images that it had removed.
    ///
    /// # Errors
    /// A damaged catalog.
    pub(super) fn steps_done(&self) -> Result<usize> {
        let noted =
            self.database.snapshot().note(NAME)?.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let Some((numbers, _)) = noted.split_once('\n').filter(|(_, of)| *of == self.text) else { return Ok(0) };
        let numbers: Vec<u64> = numbers.split(' ').filter_map(|number| number.parse().ok()).collect();
        let [step, cleaning, model] = numbers[..] else { return Ok(0) };
        let (cleaning_now, model_now) = self.last()?;
        if step > CLEANING && cleaning > 0 && !self.stands(cleaning)? {
            note(&format!("cleaning {cleaning} of the interrupted run was undone; it runs again"));
            return Ok(usize::try_from(CLEANING).unwrap_or(0));
        }
        let carried_out = if step == CLEANING { cleaning_now > cleaning } else { model_now > model };
        Ok(usize::try_from(step).unwrap_or(0) + usize::from(carried_out))
    }

    /// Records that step `at`, from 0, is next.
    ///
    /// # Errors
    /// `Io`; a damaged catalog.
    pub(super) fn begin(&self, at: usize) -> Result<()> {
        let (cleaning, model) = self.last()?;
        let note = format!("{at} {cleaning} {model}\n{}", self.text);
        Ok(self.database.set_note(NAME, Some(note.as_bytes()))?)
    }

    /// Records that everything is done.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn end(&self) -> Result<()> {
        Ok(self.database.set_note(NAME, None)?)
    }

    /// Whether a cleaning was not undone.
    fn stands(&self, number: u64) -> Result<bool> {
        Ok(self.database.cleanings()?.iter().any(|entry| entry.number == number && !entry.undone))
    }

    /// The number of the last cleaning that was not undone (0: none), and of the active model: a step that finished raised one of
    /// them.
    fn last(&self) -> Result<(u64, u64)> {
        let cleanings = self.database.cleanings()?;
        let cleaning = cleanings.iter().filter(|entry| !entry.undone).map(|entry| entry.number).max().unwrap_or(0);
        let model = self.database.models()?.iter().find(|entry| entry.active).map_or(0, |entry| entry.number);
        Ok((cleaning, model.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn::{Arguments, Options, Ports, Put};

    /// It catches: a step that runs twice or not at all after a kill, and a run that resumes after a cleaning that was undone.
    #[test]
    fn a_cleaning_that_was_committed_and_not_noted_is_done_unless_it_was_undone() {
        let home = tempfile::tempdir().unwrap();
        let database = Database::create(home.path().join("db"), Options::for_vectors(3)).unwrap();
        let image = |n: u8| {
            let (x, label) = (f32::from(n / 6), if n == 0 || n > 5 { "dome" } else { "tower" });
            Put::new(format!("i{n}"), vec![1.0 - x, x, 0.02 * f32::from(n)]).label(label).into()
        };
        database.write((0..12).map(image)).unwrap();
        let job = Job { database: &database, text: "TRAIN;\nCLEAN;\nTRAIN" };
        assert_eq!(job.steps_done().unwrap(), 0);
        job.begin(1).unwrap();
        assert_eq!(job.steps_done().unwrap(), 1);
        database.query("CLEAN RULE suspects top=1", &Arguments::default(), &Ports::default()).unwrap();
        assert_eq!(job.steps_done().unwrap(), 2, "killed between the commit and the note");
        job.begin(2).unwrap();
        assert_eq!(job.steps_done().unwrap(), 2);
        database.query("CLEAN RULE suspects top=1", &Arguments::default(), &Ports::default()).unwrap();
        assert_eq!(job.steps_done().unwrap(), 2, "a cleaning is no training");
        // The record names it as the last one that holds, and the person who undid it does not want the training to learn from
        // it.
        database.query("UNDO CLEAN", &Arguments::default(), &Ports::default()).unwrap();
        assert_eq!(job.steps_done().unwrap(), 1, "the run's own one is undone");
        database.query("CLEAN RULE suspects top=1", &Arguments::default(), &Ports::default()).unwrap();
        job.begin(2).unwrap();
        assert_eq!(job.steps_done().unwrap(), 2);
        job.begin(1).unwrap();
        database.query("CLEAN RULE suspects top=2; UNDO CLEAN", &Arguments::default(), &Ports::default()).unwrap();
        assert_eq!(job.steps_done().unwrap(), 1, "carried out, not noted, and undone");
        assert_eq!(Job { text: "another", ..job }.steps_done().unwrap(), 0);
        job.end().unwrap();
        assert_eq!(job.steps_done().unwrap(), 0);
    }
}

//! SHOW STATUS: the state of a database, line by line.

use super::database::Database;
use crate::answer::Status;
use crate::error::Result;
use crate::state::Snapshot;

impl Database {
    /// The state of the database, line by line.
    ///
    /// # Errors
    /// None at present.
    pub fn status(&self) -> Result<Status> {
        Ok(self.status_of(&self.snapshot()))
    }

    /// Rows and segments of one snapshot: those of two do not add up beside a writer.
    fn status_of(&self, snapshot: &Snapshot) -> Status {
        let counts = snapshot.counts();
        let options = self.options();
        let model = match &options.model {
            Some(model) => format!("{} ({})", model.name, model.fingerprint.get(..12).unwrap_or(&model.fingerprint)),
            None => "none: vectors are brought".to_owned(),
        };
        let segments = snapshot.segments();
        let tail = counts.train + counts.index - segments.iter().map(|segment| segment.live).sum::<usize>();
        let (waiting, operations) = snapshot.waiting;
        let mut lines = vec![
            ("folder", self.folder().display().to_string()),
            ("model", model),
            ("dimension", options.dimension.to_string()),
            ("train images", counts.train.to_string()),
            ("index images", counts.index.to_string()),
            ("labels", counts.labels.to_string()),
            ("vote_k", options.vote_k.to_string()),
            ("kept neighbours", options.kept_neighbours.to_string()),
            ("sequence", snapshot.sequence().to_string()),
            ("waiting writes", format!("{waiting} ({operations} operations)")),
            ("segments", segments.len().to_string()),
            ("rows in the tail", tail.to_string()),
            ("bytes in segments", segments.iter().map(|segment| segment.bytes).sum::<u64>().to_string()),
            ("bytes in tables", self.shared.core().catalog().bytes().to_string()),
        ];
        if options.model.is_some() {
            lines.push(("photos kept as", options.keep.word().to_owned()));
        }
        let degraded: Vec<String> = segments
            .iter()
            .filter_map(|segment| {
                let problem = segment.problem.as_ref()?;
                Some(format!("segment {} {problem}", segment.number))
            })
            .collect();
        let mut health = Vec::new();
        if let Err(displaced) = self.shared.core().check_place() {
            health.push(displaced.message().to_owned());
        } else if let Some(cause) = self.shared.core().poison() {
            health.push(format!("takes no more writes {cause}"));
        } else if let Some(shortage) = self.shared.core().shortage() {
            health.push(format!("{shortage}; reading and deleting go on"));
        }
        if !degraded.is_empty() {
            let degraded = degraded.join("; ");
            health.push(format!("degraded: {degraded}; answers are exact, from the catalog, until it is rebuilt"));
        }
        if let Some(trouble) = self.shared.core().trouble() {
            health.push(format!("the worker is in trouble: {trouble}"));
        }
        lines.push(("health", if health.is_empty() { "ok".to_owned() } else { health.join("; ") }));
        Status { lines: lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::operation::Put;
    use crate::options::Options;

    /// It catches: segments of another snapshot than the counts; the rows that came in between were taken from a tail without them.
    #[test]
    fn a_status_is_of_one_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(&folder.path().join("db"), Options::for_vectors(2)).unwrap();
        let put = |key: &str| database.write(vec![Put::new(key, [1.0, 0.5]).into()]).unwrap();
        put("a");
        let before = database.snapshot();
        put("b");
        put("c");
        database.flush().unwrap();
        let line = |status: &Status, name: &str| status.lines.iter().find(|line| line.0 == name).unwrap().1.clone();
        let then = database.status_of(&before);
        assert_eq!(["index images", "segments", "rows in the tail"].map(|name| line(&then, name)), ["1", "0", "1"]);
        let now = database.status().unwrap();
        assert_eq!(["index images", "segments", "rows in the tail"].map(|name| line(&now, name)), ["3", "1", "0"]);
    }
}

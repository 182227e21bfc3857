//! The report of a training's steps: a step's numbers, the caller's decision to continue, and the log of all steps.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use cairn::{Error, Result};

use crate::model::file::new_file;

/// One step of a training, after it was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Its number, from 1.
    pub step: u64,
    /// Steps of the whole training.
    pub steps: u64,
    /// Its epoch, from 1.
    pub epoch: u64,
    /// Epochs of the whole training.
    pub epochs: u64,
    /// Loss of its mini-batch, before the step.
    pub loss: f32,
    /// Share of the mini-batch's images whose best class is theirs; for triplet and AP, whose nearest other image has their
    /// label.
    pub accuracy: f32,
    /// Learning rate.
    pub rate: f64,
    /// Images a second, of this step alone; the one number that differs between two runs.
    pub images_per_second: f32,
}

/// The columns of a log file.
pub const LOG_HEADER: &str = "step,epoch,loss,accuracy,rate,images_per_second";

/// The log file of a training: CSV, a line a step, written as it goes.
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// Begins the file with the steps that were made before; a log of the same training is replaced by them.
    pub(crate) fn create(path: &Path, before: &[Step]) -> Result<Self> {
        let file = new_file(path).map_err(|error| Error::io(path, error))?;
        let mut log = Self { path: path.to_owned(), file };
        let mut text = format!("{LOG_HEADER}\n");
        before.iter().for_each(|step| text.push_str(&line(step)));
        log.write(&text)?;
        Ok(log)
    }

    pub(crate) fn step(&mut self, step: &Step) -> Result<()> {
        self.write(&line(step))
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.file.write_all(text.as_bytes()).map_err(|error| Error::io(&self.path, error))
    }
}

fn line(step: &Step) -> String {
    let Step { step, epoch, loss, accuracy, rate, images_per_second, .. } = step;
    format!("{step},{epoch},{loss},{accuracy},{rate:e},{images_per_second:.1}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_log_begins_with_the_steps_before_it() {
        let step = |step| Step {
            step,
            steps: 4,
            epoch: 1,
            epochs: 1,
            loss: 2.5,
            accuracy: 0.5,
            rate: 1e-3,
            images_per_second: 10.0,
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        std::fs::write(&path, "left over").unwrap();
        let mut log = LogFile::create(&path, &[step(1)]).unwrap();
        log.step(&step(2)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{LOG_HEADER}\n1,1,2.5,0.5,1e-3,10.0\n2,1,2.5,0.5,1e-3,10.0\n"));
    }
}

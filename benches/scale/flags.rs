//! The bench's command line.

use std::path::PathBuf;
use std::process::exit;

const USAGE: &str = "\
cargo bench --profile dev -p cairndb-benches --bench scale -- [ROWS] [FLAGS]
  ROWS              index images; 100000. Give 1000000 for the big one (about 6 GB of disk)
  --train N         train images loaded before them; 10000
  --more-train N    measure searches again with so many train images; 0: not
  --folder PATH     make the database there and keep it; a database that is there already is used as it is
  --cold-start      also label 1,000 images of a second, unlabelled collection of that size
  --methods         also measure the methods of the first stage, which compute for minutes first
  --queries N       queries of every measured search; 1000
  --ef A,B,..       breadths of the graph searches; 100,200,400
  --writes N        single writes of each kind; 200
  --skip A,B,..     of: open, search, upkeep";

/// The flags.
pub(crate) struct Flags {
    pub(crate) rows: usize,
    pub(crate) train: usize,
    pub(crate) more_train: usize,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) cold_start: bool,
    pub(crate) methods: bool,
    pub(crate) queries: usize,
    pub(crate) ef: Vec<usize>,
    pub(crate) writes: usize,
    skip: Vec<String>,
    /// The bench calls itself with this to measure an opening in a fresh process.
    pub(crate) open: Option<PathBuf>,
}

impl Flags {
    /// The flags of this process; ends it when they make no sense.
    pub(crate) fn read() -> Self {
        Self::parse(std::env::args().skip(1)).unwrap_or_else(|problem| {
            eprintln!("{problem}\n{USAGE}");
            exit(2)
        })
    }

    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut flags = Self {
            rows: 0,
            train: 10_000,
            more_train: 0,
            folder: None,
            cold_start: false,
            methods: false,
            queries: 1_000,
            ef: vec![100, 200, 400],
            writes: 200,
            skip: Vec::new(),
            open: None,
        };
        let mut is_bench = false;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--bench" => is_bench = true,
                "--cold-start" => flags.cold_start = true,
                "--methods" => flags.methods = true,
                "--train" => flags.train = number(&value()?)?,
                "--more-train" => flags.more_train = number(&value()?)?,
                "--queries" => flags.queries = number(&value()?)?,
                "--writes" => flags.writes = number(&value()?)?,
                "--ef" => flags.ef = value()?.split(',').map(number).collect::<Result<_, _>>()?,
                "--skip" => flags.skip = value()?.split(',').map(str::to_owned).collect(),
                "--folder" => flags.folder = Some(value()?.into()),
                "--open" => flags.open = Some(value()?.into()),
                _ => flags.rows = number(&word)?,
            }
        }
        if flags.rows == 0 {
            // Cargo says when it measures; otherwise it only tests that the bench runs.
            flags.rows = if is_bench { 100_000 } else { 3_000 };
            if !is_bench {
                (flags.train, flags.queries, flags.writes) = (500, 20, 5);
            }
        }
        Ok(flags)
    }

    /// Whether this part is measured.
    pub(crate) fn wants(&self, part: &str) -> bool {
        !self.skip.iter().any(|skipped| skipped == part)
    }
}

fn number(word: &str) -> Result<usize, String> {
    word.replace('_', "").parse().map_err(|_| format!("'{word}' is not a number"))
}

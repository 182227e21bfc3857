//! The helpers of the tests: the shared data, and running the program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers fail by panicking")]

pub mod wrong_labels;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Set to run with CI=true where the shared data is absent.
pub const WAIVER: &str = "CAIRN_ALLOW_NO_SHARED";

/// A folder of the shared data, which lies beside the clone. `None`: it is absent, and the reason for skipping was printed.
///
/// # Panics
/// When it is absent, CI=true and [`WAIVER`] is not set: a skipped check must not look like a passed one there.
pub fn shared(part: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(part);
    if path.exists() {
        return Some(path.canonicalize().unwrap());
    }
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(
        !in_ci || std::env::var_os(WAIVER).is_some(),
        "{} is absent; set {WAIVER}=1 to pass without it",
        path.display()
    );
    eprintln!("SKIPPED: {} is absent", path.display());
    None
}

/// Standard output, standard error and exit code.
pub fn outcome(folder: &Path, words: &[&str]) -> (String, String, Option<i32>) {
    let output = run(folder, words);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

/// Writes descriptors of two numbers as a .npy file.
pub fn write_npy(folder: &Path, name: &str, rows: &[[f32; 2]]) {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, 2), }}", rows.len());
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    rows.iter().flatten().for_each(|value| bytes.extend(value.to_le_bytes()));
    std::fs::write(folder.join(name), bytes).unwrap();
}

/// A .npy file of any number type as f64, with its shape.
pub fn npy(path: &Path) -> (Vec<f64>, Vec<usize>) {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = npyz::NpyFile::new(&bytes[..]).unwrap();
    let shape: Vec<usize> = file.shape().iter().map(|&n| n as usize).collect();
    let is_by_columns = file.order() == npyz::Order::Fortran;
    let dtype = file.dtype().descr();
    let values: Vec<f64> = match dtype.trim_matches('\'') {
        "<f4" => file.into_vec::<f32>().unwrap().into_iter().map(f64::from).collect(),
        "<f8" => file.into_vec::<f64>().unwrap(),
        "<f2" => {
            let count = file.shape().iter().product::<u64>() as usize;
            bytes[bytes.len() - 2 * count..].chunks(2).map(|two| half(u16::from_le_bytes([two[0], two[1]]))).collect()
        }
        "<i4" => file.into_vec::<i32>().unwrap().into_iter().map(f64::from).collect(),
        "<i2" => file.into_vec::<i16>().unwrap().into_iter().map(f64::from).collect(),
        "|i1" => file.into_vec::<i8>().unwrap().into_iter().map(f64::from).collect(),
        other => panic!("{}: numbers of type {other}", path.display()),
    };
    match shape[..] {
        [rows, columns] if is_by_columns => {
            ((0..rows * columns).map(|at| values[at % columns * rows + at / columns]).collect(), shape)
        }
        _ => (values, shape),
    }
}

/// A number of 16 bits that is neither infinite nor none.
fn half(bits: u16) -> f64 {
    let (sign, exponent, fraction) = (bits >> 15, i32::from((bits >> 10) & 31), f64::from(bits & 1023) / 1024.0);
    let size =
        if exponent == 0 { fraction * 2.0_f64.powi(-14) } else { (1.0 + fraction) * 2.0_f64.powi(exponent - 15) };
    if sign == 1 { -size } else { size }
}

/// A 2-d .npy file as rows of f32.
pub fn rows(path: &Path) -> Vec<Vec<f32>> {
    let (values, shape) = npy(path);
    values.chunks(shape[1]).map(|row| row.iter().map(|&value| value as f32).collect()).collect()
}

/// A .npy file as integers.
pub fn integers(path: &Path) -> Vec<i64> {
    npy(path).0.into_iter().map(|value| value as i64).collect()
}

/// The lines of a text file.
pub fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// The program, ready to get arguments; it has no standard input.
pub fn cairn() -> Command {
    let program = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("cairn-under-test");
    let mut command = Command::new(program);
    command.stdin(std::process::Stdio::null()).env("NO_COLOR", "1");
    command
}

/// Runs the program in `folder` with these words and returns what it printed.
pub fn run(folder: &Path, words: &[&str]) -> Output {
    cairn().current_dir(folder).args(words).output().unwrap()
}

/// Runs the program and returns its standard output; fails when it does.
pub fn run_ok(folder: &Path, words: &[&str]) -> String {
    let output = run(folder, words);
    assert!(output.status.success(), "cairn {words:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every entry below a folder with its bytes and when it was last written.
///
/// # Panics
/// When one cannot be read.
pub fn tree(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let about = path.symlink_metadata().unwrap();
        if about.is_dir() {
            lines.push(format!("{} {:?}", path.display(), about.modified().unwrap()));
            lines.extend(tree(&path));
        } else {
            lines.push(format!(
                "{} {:?} {:?}",
                path.display(),
                about.modified().unwrap(),
                std::fs::read(&path).unwrap()
            ));
        }
    }
    lines
}

/// Makes a database of every third photo of the landmarks, and the lists `train.csv` and `index.csv` beside it.
pub fn few_landmarks(folder: &Path, database: &str) -> Option<()> {
    let landmarks = shared("photos/landmarks")?;
    for (name, header) in [("train", "id,path,label"), ("index", "id,path")] {
        let rows = lines(&landmarks.join(format!("{name}.csv"))).into_iter().skip(1).step_by(3).map(|row| {
            let (id, rest) = row.split_once(',').unwrap();
            format!("{id},{}/{rest}\n", landmarks.display())
        });
        std::fs::write(folder.join(format!("{name}.csv")), format!("{header}\n{}", rows.collect::<String>())).unwrap();
    }
    run_ok(folder, &["create", database, "--model", "lite0-gem"]);
    run_ok(folder, &["ingest", database, "train.csv", "--as", "train"]);
    run_ok(folder, &["ingest", database, "index.csv", "--as", "index"]);
    Some(())
}

//! Helpers for this crate's tests: golden files of the shared material, which may be missing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::PathBuf;

use tch::{Kind, Tensor};

#[path = "../../src/testing.rs"]
mod files;
pub(crate) use files::shared;

/// A golden .npy as an f32 tensor of its shape.
pub(crate) fn shared_npy(name: &str) -> Option<Tensor> {
    let path = shared(name)?;
    Some(Tensor::read_npy(path).unwrap().to_kind(Kind::Float))
}

/// max |a - b|; shapes must agree.
pub(crate) fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

/// The photos of a shared list (`photos/landmarks/train.csv`): id and path.
pub(crate) fn shared_photos(list: &str) -> Option<Vec<(String, PathBuf)>> {
    let path = shared(list)?;
    let folder = path.parent().unwrap().to_owned();
    let mut rows = csv::Reader::from_path(&path).unwrap();
    Some(rows.records().map(|row| row.unwrap()).map(|row| (row[0].to_owned(), folder.join(&row[1]))).collect())
}

/// Rows and labels of a list of the shared landmarks, as the reference embeds them; label numbers are places in `names`.
pub(crate) fn landmarks(list: &str, names: &mut Vec<String>) -> Option<(Vec<Vec<f32>>, Vec<u32>)> {
    let rows = shared_npy(&format!("golden/lite0/landmarks_{list}_f16.npy"))?;
    let ids = std::fs::read_to_string(shared(&format!("golden/lite0/landmarks_{list}_ids.txt"))?).unwrap();
    // The labels as given for train, some of them wrong; the true ones for the others.
    let (file, column) = if list == "train" { ("train", 2) } else { ("truth", 1) };
    let mut table = csv::Reader::from_path(shared(&format!("photos/landmarks/{file}.csv"))?).unwrap();
    let label: HashMap<String, String> =
        table.records().map(|row| row.unwrap()).map(|row| (row[0].to_owned(), row[column].to_owned())).collect();
    let mut number = |name: &String| {
        names.iter().position(|of| of == name).unwrap_or_else(|| {
            names.push(name.clone());
            names.len() - 1
        }) as u32
    };
    let labels: Vec<u32> = ids.lines().map(|id| number(&label[id])).collect();
    let row = |at: usize| {
        let row = Vec::<f32>::try_from(rows.get(at as i64)).unwrap();
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter().map(|x| x / length).collect()
    };
    Some(((0..labels.len()).map(row).collect(), labels))
}

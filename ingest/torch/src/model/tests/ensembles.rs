//! Ensembles against the golden descriptor, and against their networks alone.

use std::collections::HashMap;

use super::backbones::{apart, input, lite2, raw, resnet18};
use super::*;
use crate::model::ensemble::concatenated;
use crate::model::file::serialise;

fn loaded(text: &str, files: &[PathBuf]) -> Model {
    Model::load(&text.parse::<ModelSpec>().unwrap().weights(files).unwrap(), &Hardware::cpu()).unwrap()
}

/// A picture of numbers without a pattern.
fn picture(width: u32, height: u32) -> Pixels {
    let byte = |i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
    Pixels::new(width, height, (0..width * height * 3).map(byte).collect()).unwrap()
}

/// The descriptor of a picture by the way of the pipeline.
fn described(model: &Model, photo: &Pixels) -> Vec<f32> {
    model.embed(&[&model.size_rule().fit(photo).unwrap()]).unwrap().remove(0)
}

#[test]
fn lite0_and_lite2_together_equal_the_reference() {
    let Some(lite2) = lite2() else { return };
    if crate::testing::shared("golden/backbones").is_none() {
        return;
    }
    let x = input(160, 224, 1.0);
    let part = |model: &Model| (1.0, unit_rows(&raw(model, &x)).unwrap().remove(0));
    let found = concatenated(&[part(&lite0()), part(&lite2)]);
    let difference = apart(&Tensor::from_slice(&found), "lite0_lite2_ensemble");
    println!("lite0-gem+lite2-gem: relative difference {difference:e}");
    assert!(difference < 1e-4);
    let model = loaded("lite0-gem+lite2-gem", &[]);
    let photo = picture(300, 200);
    let parts = [(1.0, described(&lite0(), &photo)), (1.0, described(&lite2, &photo))];
    assert_eq!(described(&model, &photo), concatenated(&parts));
}

/// It catches: a weight that does not count, or is no part of what a model is.
#[test]
fn the_weights_of_an_ensemble_are_part_of_the_model() {
    let model = loaded("lite0-gem+lite0-gem:0.5", &[]);
    assert_eq!((model.dimension(), model.size_rule()), (2560, lite0().size_rule()));
    assert_eq!(model.info().name, "lite0-gem+lite0-gem:0.5");
    let photo = picture(400, 300);
    let alone = described(&lite0(), &photo);
    let vector = described(&model, &photo);
    let lengths: Vec<f32> = vector.chunks(1280).map(|part| part.iter().zip(&alone).map(|(a, b)| a * b).sum()).collect();
    let whole = 1.25f32.sqrt();
    assert!((lengths[0] - 1.0 / whole).abs() < 1e-5 && (lengths[1] - 0.5 / whole).abs() < 1e-5, "{lengths:?}");
    let again = Model::reload(model.info(), &|_| Ok(None), None, &Hardware::cpu()).unwrap();
    assert_eq!((again.info(), described(&again, &photo)), (model.info(), vector));
    let mut fingerprints = ["lite0-gem", "lite0-gem+lite0-gem", "lite0-gem+lite0-gem:0.25", "lite0-gem:0.25+lite0-gem"]
        .map(|text| loaded(text, &[]).info().fingerprint.clone())
        .to_vec();
    fingerprints.push(model.info().fingerprint.clone());
    fingerprints.sort();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 5);
}

/// It catches: a network of an ensemble that gets photos of another network's size, and files of weights that are mixed up.
#[test]
fn networks_of_different_input_sizes_see_what_they_would_see_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r18.safetensors");
    std::fs::write(&file, serialise(resnet18(), HashMap::new()).unwrap()).unwrap();
    let model = loaded("resnet18-gem+lite0-gem:2", std::slice::from_ref(&file));
    assert_eq!((model.dimension(), model.size_rule()), (512 + 1280, SizeRule::Unchanged));
    let photo = picture(500, 300);
    let parts = [
        (1.0, described(&loaded("resnet18-gem", std::slice::from_ref(&file)), &photo)),
        (2.0, described(&lite0(), &photo)),
    ];
    let expected = concatenated(&parts);
    assert_eq!(described(&model, &photo), expected);
    // The files may have moved, all into one folder.
    let moved = tempfile::tempdir().unwrap();
    std::fs::rename(&file, moved.path().join("r18.safetensors")).unwrap();
    let reload = |weights: Option<&Path>| Model::reload(model.info(), &|_| Ok(None), weights, &Hardware::cpu());
    assert!(reload(None).is_err());
    let error = reload(Some(&moved.path().join("r18.safetensors"))).err().unwrap();
    assert!(error.next_step().unwrap().contains("name the folder"), "{error}");
    assert_eq!(described(&reload(Some(moved.path())).unwrap(), &photo), expected);
    let error = spec_of(model.info(), &file).unwrap_err();
    assert!(error.to_string().contains("has 2 networks"), "{error}");
}

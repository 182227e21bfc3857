//! The default model against the independent implementation of `../shared/golden/lite0`, and settings.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backbones;
mod ensembles;

use std::path::PathBuf;

use tch::{Kind, Tensor};

use super::extract::unit_rows;
use super::layers::Conv;
use super::*;
use crate::testing::{largest_difference, shared_npy, shared_photos};
use cairndb_ingest::photo::{DecodeLimits, decode};

fn lite0() -> Model {
    Model::load(&ModelSpec::new(Architecture::Lite0), &Hardware::cpu()).unwrap()
}

fn pixels(model: &Model, path: &Path) -> Pixels {
    let photo = decode(&std::fs::read(path).unwrap(), &DecodeLimits::default()).unwrap();
    model.size_rule().fit(&photo).unwrap()
}

#[test]
fn the_trunk_equals_the_reference_on_its_tensor() {
    let Some(input) = shared_npy("golden/lite0/tensor_in.npy") else { return };
    let model = lite0();
    let network = model.members[0].built().unwrap().network.lock().unwrap();
    let map = tch::no_grad(|| network.trunk.forward(&input, &Conv::forward)).unwrap().remove(0);
    let mean = map.mean_dim([2i64, 3].as_slice(), false, Kind::Float);
    let map_difference = largest_difference(&mean, &shared_npy("golden/lite0/tensor_map_mean.npy").unwrap());
    let unit = unit_rows(&network.raw_of_input(&input).unwrap()).unwrap().concat();
    let golden = shared_npy("golden/lite0/tensor_gem_out.npy").unwrap();
    let golden = Vec::<f32>::try_from(golden.view(-1)).unwrap();
    let difference = unit.iter().zip(&golden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("largest difference: map mean {map_difference:e}, descriptor {difference:e}");
    assert!(map_difference < 1e-4 && difference < 1e-4);
}

/// Cosines of every `step`-th photo to its reference, smallest first.
fn cosines(step: usize) -> Option<Vec<f64>> {
    let model = lite0();
    let mut cosines = Vec::new();
    for list in ["train", "index", "query"] {
        let photos = shared_photos(&format!("photos/landmarks/{list}.csv"))?;
        let golden = shared_npy(&format!("golden/lite0/landmarks_{list}_f16.npy"))?;
        let ids = std::fs::read_to_string(crate::testing::shared(&format!("golden/lite0/landmarks_{list}_ids.txt"))?)
            .unwrap();
        for (row, id) in ids.lines().enumerate().step_by(step) {
            let path = &photos.iter().find(|(of, _)| of == id).unwrap().1;
            let vector = model.embed(&[&pixels(&model, path)]).unwrap().remove(0);
            let golden = Vec::<f32>::try_from(golden.get(row as i64)).unwrap();
            let length = golden.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
            let dot: f64 = vector.iter().zip(&golden).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            cosines.push(dot / length);
        }
    }
    cosines.sort_by(f64::total_cmp);
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    println!("{} photos: smallest cosines {:.5?}, mean {mean:.5}", cosines.len(), &cosines[..3]);
    Some(cosines)
}

#[test]
fn descriptors_of_photos_agree_with_the_reference() {
    let Some(cosines) = cosines(17) else { return };
    assert!(cosines.len() >= 40 && cosines[0] >= 0.99);
}

/// One photo (84f8a64450be0a35, a blurred view) is at 0.9898: its JPEG decodes to values that differ from Pillow's by 0.2 levels
/// on average and 4 at most, and that alone moves it so far; decoded by Pillow and resized here it is at 0.9998.
#[test]
#[ignore = "all 694 photos; half a minute"]
fn descriptors_of_all_photos_agree_with_the_reference() {
    let Some(cosines) = cosines(1) else { return };
    assert!(cosines.len() == 694 && cosines[0] >= 0.989 && cosines[1] >= 0.99);
}

#[test]
fn a_photo_embeds_to_the_same_bits_alone_in_company_and_on_any_thread() {
    let model = lite0();
    let picture = |w: u32, h: u32, seed: u32| {
        let byte = |i: u32| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8;
        Pixels::new(w, h, (0..w * h * 3).map(byte).collect()).unwrap()
    };
    let photos = [picture(96, 64, 1), picture(64, 96, 2), picture(96, 64, 3)];
    let together = model.embed(&photos.iter().collect::<Vec<_>>()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for (photo, vector) in photos.iter().zip(&together).rev() {
                    assert_eq!(&model.embed(&[photo]).unwrap()[0], vector);
                }
            });
        }
    });
}

#[test]
fn several_scales_make_another_model() {
    let spec = ModelSpec { scales: vec![0.75, 1.0, 1.25], ..ModelSpec::new(Architecture::Lite0) };
    let model = Model::load(&spec, &Hardware::cpu()).unwrap();
    assert_ne!(model.info().fingerprint, lite0().info().fingerprint);
    let photo = Pixels::new(160, 128, (0..160 * 128 * 3).map(|i| (i % 251) as u8).collect()).unwrap();
    let vector = model.embed(&[&photo]).unwrap().remove(0);
    assert_eq!(vector.len(), 1280);
    assert!(Model::load(&ModelSpec { scales: vec![f64::NAN], ..spec }, &Hardware::cpu()).is_err());
}

#[test]
fn a_database_loads_its_model_again_and_no_other() {
    let model = lite0();
    let again = Model::reload(model.info(), &|_| Ok(None), None, &Hardware::cpu()).unwrap();
    assert_eq!(again.info(), model.info());
    let other = model
        .info()
        .clone()
        .settings(model.info().settings.replace("weights = ", "weights = 00").replace("\nscales", "xx\nscales"));
    assert!(Model::reload(&other, &|_| Ok(None), None, &Hardware::cpu()).is_err());
    let digest = blake3::hash(b"others").to_hex();
    let settings = format!("model = lite0-gem\nweights = {digest}\nscales = 1");
    let error =
        Model::reload(&model.info().clone().settings(settings), &|_| Ok(None), None, &Hardware::cpu()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
}

#[test]
fn settings_survive_their_text() {
    for place in [Place::Default, Place::File(PathBuf::from("/models/a = b.safetensors")), Place::Kept] {
        let digest = blake3::hash(b"w");
        let kind = NetworkKind::Built(Architecture::Resnet101);
        let only = NetworkSettings { kind, weight: 1.0, digest, place };
        let other = NetworkSettings { weight: 0.25, place: Place::Default, ..only.clone() };
        let rules = rules::Rules::default().complete(rules::Output::Map, 16);
        let kind = NetworkKind::Module { name: "net.pt".to_owned(), rules };
        let module = NetworkSettings { kind, weight: 2.0, digest, place: Place::Kept };
        let alone = NetworkSettings { weight: 1.0, ..module.clone() };
        let several = [vec![only.clone()], vec![only.clone(), other.clone()], vec![other, module, only], vec![alone]];
        for networks in several {
            let settings = Settings { networks, scales: vec![0.75, 1.0, 1.25], adapter: Some(blake3::hash(b"a")) };
            assert_eq!(Settings::parse(&settings.to_string()).unwrap(), settings);
        }
    }
}

#[test]
fn a_resnet_needs_weights_and_its_layout_is_checked() {
    let spec = ModelSpec::new(Architecture::Resnet50);
    assert!(Model::load(&spec, &Hardware::cpu()).err().unwrap().to_string().contains("--weights"));
    let weights = Architecture::Lite0.default_weights().unwrap().find().unwrap();
    let spec = spec.weights(&[weights]).unwrap();
    assert!(Model::load(&spec, &Hardware::cpu()).err().unwrap().to_string().contains("no tensor 'conv1.weight'"));
}

#[test]
#[ignore = "measures forwards a second; run alone on an idle machine"]
fn forwards_of_one_photo_against_batches() {
    let model = lite0();
    let network = model.members[0].built().unwrap().network.lock().unwrap();
    for batch in [1i64, 4, 16] {
        let rgb = Tensor::randint(256, [batch, 256, 320, 3], (Kind::Uint8, tch::Device::Cpu));
        drop(network.raw(&rgb).unwrap());
        let start = std::time::Instant::now();
        let rounds = 64 / batch;
        (0..rounds).for_each(|_| drop(network.raw(&rgb).unwrap()));
        let each = start.elapsed().as_secs_f64() * 1e3 / (rounds * batch) as f64;
        println!("320x256, one thread, batches of {batch}: {each:.1} ms a photo");
    }
}

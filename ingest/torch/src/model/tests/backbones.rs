//! The large trunks and `lite2-gem` against what the original code returns (`../shared/golden/backbones`), for weights that a rule
//! fills; and files of weights that are refused.
use std::collections::HashMap;
use std::sync::OnceLock;

use crate::model::file::Named;
use crate::model::file::serialise;
use crate::model::gem::GEM_P;
use crate::model::layers::{ConvShape, Norm};

use super::*;

/// FNV-1a of a name.
fn start(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// u(name, i), 0 to 1: splitmix64 from the hash of the name.
fn u(name: &str, i: u64) -> f64 {
    let mut z = start(name).wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
}

/// The numbers that the rule gives a tensor.
fn filled(name: &str, shape: &[usize]) -> Named {
    let bound = if shape.len() > 1 { (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt() } else { 0.0 };
    let number = |i: u64| match () {
        () if name.ends_with("running_mean") => 0.1 * (2.0 * u(name, i) - 1.0),
        () if name.ends_with("running_var") => 0.5 + u(name, i),
        () if shape.len() > 1 => (2.0 * u(name, i) - 1.0) * bound,
        () if name.ends_with("bias") => 0.1 * (2.0 * u(name, i) - 1.0),
        () => 0.4 + 0.4 * u(name, i),
    };
    (name.to_owned(), shape.to_vec(), (0..shape.iter().product::<usize>() as u64).map(|i| number(i) as f32).collect())
}

/// The tensors of a published layout, by the rule.
fn published(architecture: &str) -> Option<Vec<Named>> {
    let text = std::fs::read(crate::testing::shared(&format!("golden/backbones/{architecture}_names.json"))?).unwrap();
    let names: Vec<(String, Vec<usize>)> = serde_json::from_slice(&text).unwrap();
    let tensors = names.iter().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
    Some(tensors.map(|(name, shape)| filled(name, shape)).collect())
}

/// FC and batch normalisation behind `pooled` numbers, as the authors' release has them.
fn head(pooled: usize) -> Vec<Named> {
    let norm = ["weight", "bias", "running_mean", "running_var"].map(|part| filled(&format!("bn.{part}"), &[512]));
    [filled("fc.weight", &[512, pooled]), filled("fc.bias", &[512])].into_iter().chain(norm).collect()
}

fn of_tensors(architecture: Architecture, tensors: &[Named]) -> Result<Model> {
    let bytes = serialise(tensors, HashMap::new())?;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    std::fs::write(&path, bytes).unwrap();
    Model::load(&ModelSpec::new(architecture).weights(&[path])?, &Hardware::cpu())
}

/// Numbers of the input, by the rule: (1, 3, height, width), each 2 u - 1 times `scale`.
pub(super) fn input(height: i64, width: i64, scale: f64) -> Tensor {
    let numbers: Vec<f32> =
        (0..3 * height * width).map(|i| (scale * (2.0 * u("input", i as u64) - 1.0)) as f32).collect();
    crate::model::layers::channels_last(&Tensor::from_slice(&numbers).view([1, 3, height, width])).unwrap()
}

/// Largest difference over the largest number.
pub(super) fn apart(found: &Tensor, golden: &str) -> f64 {
    let golden = shared_npy(&format!("golden/backbones/{golden}.npy")).unwrap().view(-1);
    largest_difference(&found.view(-1), &golden) / golden.abs().max().double_value(&[])
}

pub(super) fn raw(model: &Model, x: &Tensor) -> Tensor {
    tch::no_grad(|| model.members[0].built().unwrap().network.lock().unwrap().raw_of_input(x)).unwrap()
}

fn means(model: &Model, x: &Tensor) -> Tensor {
    let network = model.members[0].built().unwrap().network.lock().unwrap();
    let maps = tch::no_grad(|| network.trunk.forward(x, &Conv::forward)).unwrap();
    crate::model::extract::pooled(&maps, &|map| map.f_mean_dim([2i64, 3].as_slice(), false, Kind::Float)).unwrap()
}

#[test]
fn the_rule_gives_the_numbers_of_its_check() {
    let check = [0.097_818_32, 0.652_360_38, 0.203_624_25];
    assert!((0..3).all(|i| (u("input", i) - check[i as usize]).abs() < 1e-8));
}

/// The published layout and that of the release, whose trunk's tensors are called `renamed` and have a head.
fn equals_the_original(architecture: Architecture, name: &str, renamed: &dyn Fn(&str) -> String) {
    let Some(tensors) = published(name) else { return };
    let model = of_tensors(architecture, &tensors).unwrap();
    let x = input(160, 224, 2.0);
    let found =
        [apart(&means(&model, &x), &format!("{name}_map_mean")), apart(&raw(&model, &x), &format!("{name}_gem"))];
    let pooled = model.dimension();
    drop(model);
    let mut release: Vec<Named> = tensors
        .into_iter()
        .map(|(name, shape, values)| (format!("backbone.{}", renamed(&name)), shape, values))
        .collect();
    release.extend(head(pooled));
    let model = of_tensors(architecture, &release).unwrap();
    assert_eq!(model.dimension(), 512);
    let of_release = apart(&raw(&model, &x), &format!("{name}_fc_bn"));
    println!("{name}: relative differences of means, GeM, head: {found:?}, {of_release:e}");
    assert!(found.iter().all(|of| *of < 1e-4) && of_release < 1e-4);
    // A photo goes the whole way.
    let photo = Pixels::new(96, 64, (0..96 * 64 * 3).map(|i| (i % 251) as u8).collect()).unwrap();
    assert_eq!(model.embed(&[&photo]).unwrap()[0].len(), 512);
}

#[test]
fn se_resnext_equals_the_original() {
    let numbered = |name: &str| name.strip_prefix("layer").map_or_else(|| name.to_owned(), str::to_owned);
    equals_the_original(Architecture::SeResnext101, "se_resnext101", &numbered);
}

#[test]
fn fishnet_equals_the_original() {
    equals_the_original(Architecture::Fishnet150, "fishnet150", &str::to_owned);
}

/// `None`, with a printed reason: the set-up fetches its weights on demand.
pub(super) fn lite2() -> Option<Model> {
    let model = Model::load(&ModelSpec::new(Architecture::Lite2), &Hardware::cpu());
    if let Err(error) = &model {
        assert!(error.kind() == ErrorKind::NotFound && error.next_step().unwrap().contains("fetch lite2"), "{error}");
        println!("SKIPPED: the weights of lite2-gem are not fetched (python3 .setup/run.py fetch lite2)");
    }
    model.ok()
}

#[test]
fn lite2_equals_the_reference() {
    let Some(model) = lite2() else { return };
    if crate::testing::shared("golden/backbones").is_none() {
        return;
    }
    let found = apart(&raw(&model, &input(160, 224, 1.0)), "lite2_gem");
    println!("lite2-gem: relative difference {found:e}");
    assert!(found < 1e-4);
    let golden = shared_npy("golden/backbones/lite2_photos.npy").unwrap();
    let ids =
        std::fs::read_to_string(crate::testing::shared("golden/backbones/lite2_photos_ids.txt").unwrap()).unwrap();
    let photos: HashMap<String, PathBuf> = ["train", "index", "query"]
        .iter()
        .flat_map(|list| shared_photos(&format!("photos/landmarks/{list}.csv")).unwrap())
        .collect();
    let cosines: Vec<f64> = ids
        .lines()
        .enumerate()
        .step_by(5)
        .map(|(row, id)| {
            let vector = model.embed(&[&pixels(&model, &photos[id])]).unwrap().remove(0);
            let golden = Vec::<f32>::try_from(golden.get(row as i64)).unwrap();
            vector.iter().zip(&golden).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        })
        .collect();
    println!("cosines of photos {cosines:.4?}");
    assert!(cosines.len() == 12 && cosines.iter().all(|cosine| *cosine >= 0.99));
}

/// A network's tensors drawn by the rule, in Cairn's names.
pub(super) fn drawn(architecture: Architecture) -> Vec<Named> {
    let mut tensors = Vec::new();
    let side = |side: i64| usize::try_from(side).unwrap();
    architecture
        .trunk(&mut |shape: &ConvShape| {
            tensors.extend(shape.weight().map(|(name, sides)| filled(&name, &sides.map(side))));
            tensors.extend(shape.bias().map(|name| filled(&name, &[side(shape.output)])));
            if let Norm::Batch { name, .. } = shape.norm {
                let part = |part: &str| filled(&format!("{name}.{part}"), &[side(shape.output)]);
                tensors.extend(["weight", "bias", "running_mean", "running_var"].map(part));
            }
            Ok(())
        })
        .unwrap();
    tensors
}

pub(super) fn resnet18() -> &'static [Named] {
    static TENSORS: OnceLock<Vec<Named>> = OnceLock::new();
    TENSORS.get_or_init(|| drawn(Architecture::Resnet18))
}

/// It catches: a layout of SSCD whose last layer counts as a classifier, or whose blocks are read in another order.
#[test]
fn layouts_of_sscd_give_the_descriptors_of_the_same_numbers() {
    let x = input(64, 96, 2.0);
    let named = |from: &str, to: &str, mut of: Named| {
        of.0 = of.0.replacen(from, to, 1);
        of
    };
    let fc = || [filled("fc.weight", &[512, 512]), filled("fc.bias", &[512])];
    let plain = fc().map(|of| named("fc", "head.fc", of));
    let expected = raw(&of_tensors(Architecture::Resnet18, &[resnet18(), &plain].concat()).unwrap(), &x);
    let of_trunk: Vec<Named> =
        resnet18().iter().map(|(name, shape, of)| (format!("backbone.{name}"), shape.clone(), of.clone())).collect();
    let torchvision = fc().map(|of| named("fc", "backbone.fc", of));
    let embeddings = fc().map(|of| named("fc", "embeddings.1", of));
    let classy = resnet18().iter().map(|(name, shape, of)| {
        let name = match name.split('.').collect::<Vec<_>>().as_slice() {
            ["conv1", part] => format!("initial_block._module.0.{part}"),
            ["bn1", part] => format!("initial_block._module.1.{part}"),
            [layer, within, rest @ ..] => {
                let stage = layer.strip_prefix("layer").unwrap().parse::<usize>().unwrap() - 1;
                let rest =
                    rest.join(".").replace("conv1", "convolutional_block.0").replace("bn1", "convolutional_block.1");
                let rest = rest.replace("conv2", "convolutional_block.3").replace("bn2", "bn");
                format!("blocks.{stage}.block{stage}-{within}.{rest}")
            }
            _ => name.clone(),
        };
        (format!("backbone.{name}"), shape.clone(), of.clone())
    });
    let classy: Vec<Named> = classy.collect();
    for file in [
        [&of_trunk[..], &torchvision].concat(),
        [&of_trunk[..], &embeddings].concat(),
        [&classy[..], &embeddings].concat(),
    ] {
        let model = of_tensors(Architecture::Resnet18, &file).unwrap();
        assert!(model.describe().contains("GeM and FC"), "{}", model.describe());
        assert_eq!(largest_difference(&raw(&model, &x), &expected), 0.0);
    }
    // torchvision's classifier is none of a descriptor.
    let classifier = [filled("fc.weight", &[1000, 512]), filled("fc.bias", &[1000])];
    let model = of_tensors(Architecture::Resnet18, &[resnet18(), &classifier].concat()).unwrap();
    let pooled = gem::gem(
        &model.members[0].built().unwrap().network.lock().unwrap().trunk.forward(&x, &Conv::forward).unwrap()[0],
        GEM_P,
    )
    .unwrap();
    assert_eq!(largest_difference(&raw(&model, &x), &pooled), 0.0);
}

/// It catches: a network that computes with a tensor that is missing, of another shape, or there twice.
#[test]
fn a_file_that_is_not_whole_is_refused_by_the_name_of_its_tensor() {
    let said = |tensors: &[Named]| of_tensors(Architecture::Resnet18, tensors).err().unwrap().to_string();
    let without = |name: &str| resnet18().iter().filter(|of| of.0 != name).cloned().collect::<Vec<_>>();
    for name in ["layer4.1.conv2.weight", "layer2.0.downsample.1.running_var", "bn1.bias"] {
        let message = said(&without(name));
        assert!(message.contains(&format!("has no tensor '{name}'")), "{message}");
        let message = said(&[without(name), vec![filled(name, &[7])]].concat());
        assert!(message.contains(&format!("'{name}' has shape [7], expected")), "{message}");
    }
    let twice = [resnet18(), &[filled("backbone.bn1.bias", &[64])]].concat();
    assert!(said(&twice).contains("two tensors that are read as 'bn1.bias'"), "{}", said(&twice));
    let error = of_tensors(Architecture::SeResnext101, resnet18()).err().unwrap().to_string();
    assert!(error.contains("has no tensor 'layer0.conv1.weight'"), "{error}");
    let error = of_tensors(Architecture::Fishnet150, resnet18()).err().unwrap().to_string();
    assert!(error.contains("has no tensor 'conv1.0.weight'"), "{error}");
    let error = Model::load(&ModelSpec::new(Architecture::SeResnext101), &Hardware::cpu()).err().unwrap();
    assert!(error.next_step().unwrap().contains("--weights"), "{error}");
}

/// It catches: maps that no longer fit together where a side is no multiple of the stride.
#[test]
fn every_size_of_photo_goes_through_fishnet() {
    let model = of_tensors(Architecture::Fishnet150, &drawn(Architecture::Fishnet150)).unwrap();
    for (height, width) in [(32, 32), (64, 96), (75, 109), (100, 63)] {
        let found = raw(&model, &input(height, width, 2.0));
        assert_eq!(found.size(), [1, 4864]);
        assert!(unit_rows(&found).is_ok(), "{height}x{width}");
    }
}

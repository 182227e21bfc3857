#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use std::path::PathBuf;

use cairndb_ingest::Encoder as _;
use cairndb_ingest::photo::{DecodeLimits, decode};

use super::rules::Sides;
use super::*;
use crate::model::{Model, ModelSpec};
use crate::testing::shared;

fn file(name: &str) -> Option<PathBuf> {
    shared(&format!("golden/torchscript/{name}"))
}

fn rules(size: u32, output: Option<Output>) -> Rules {
    Rules { size: Some(Sides::Square(size)), output, ..Rules::default() }
}

fn model(name: &str, rules: Rules) -> Result<Model> {
    Model::load(&ModelSpec::module(file(name).unwrap(), rules), &Hardware::cpu())
}

fn pixels() -> Option<Pixels> {
    let limits = DecodeLimits::default();
    file("pixels.png").map(|path| decode(&std::fs::read(path).unwrap(), &limits).unwrap())
}

/// It catches: another normalisation, exchanged axes, a pooling or a token that is not the one named.
#[test]
fn modules_give_the_descriptors_of_their_makers() {
    let Some(picture) = pixels() else { return };
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(file("expected.json").unwrap()).unwrap()).unwrap();
    for (name, output, case) in [
        ("vector.pt", None, "vector"),
        ("vector.pt", Some(Output::Vector), "vector"),
        ("map.pt", None, "map_gem3"),
        ("tokens.pt", Some(Output::FirstToken), "tokens_first"),
        ("tokens.pt", Some(Output::MeanToken), "tokens_mean"),
        ("fixed.pt", None, "fixed"),
    ] {
        let model = model(name, rules(96, output)).unwrap();
        let expected: Vec<f64> = serde_json::from_value(golden[case].clone()).unwrap();
        assert_eq!((model.dimension(), model.info().name.as_str()), (expected.len(), name));
        for fit in ["short", "squash", "pad"] {
            let of = Rules::parse(&format!(r#"{{"resize": "{fit}"}}"#)).unwrap().or(rules(96, output));
            assert_eq!(of.size_rule().fit(&picture).unwrap(), picture, "{fit}");
        }
        // The first calls of a script may run other kernels than the later ones: they must not.
        let first = model.encode(&[&picture]).unwrap().remove(0);
        for _ in 0..4 {
            assert_eq!(model.encode(&[&picture, &picture]).unwrap(), [first.clone(), first.clone()], "{case}");
        }
        let close = |(x, y): (&f32, &f64)| (f64::from(*x) - y).abs() <= 1e-4 * y.abs().max(1e-2);
        assert!(first.iter().zip(&expected).all(close), "{case}: {first:?}");
    }
}

#[test]
fn what_cannot_be_a_descriptor_is_refused_with_the_reason() {
    if pixels().is_none() {
        return;
    }
    for (name, rules, why, what_to_do) in [
        ("tokens.pt", rules(96, None), "are tokens", "first-token (--output first-token) or mean-token"),
        ("fixed.pt", rules(64, None), "fixed.pt fails on an input of 64x64", "--input-size"),
        ("pair.pt", rules(96, None), "pair.pt returns a tuple of 2: a tensor of shape", "N x D"),
        ("nan.pt", rules(96, None), "no usable descriptor", "weights"),
        ("vector.pt", rules(96, Some(Output::Map)), "not the output that its rules name", "N x C x H x W"),
        ("vector.pt", Rules { dimension: Some(13), ..rules(96, None) }, "say 13 numbers", "leave `dimension` out"),
        ("pixels.png", rules(96, None), "no TorchScript module", "torch.jit.script"),
        ("expected.json", rules(96, None), "no TorchScript module", "torch.jit.script"),
    ] {
        let refused = model(name, rules).err().unwrap();
        assert!(refused.message().contains(why), "{name}: {refused}");
        assert!(refused.next_step().unwrap().contains(what_to_do), "{name}: {refused}");
    }
    // The module's own words, not libtorch's list of calls.
    let own = model("fixed.pt", rules(64, None)).err().unwrap();
    assert!(own.message().contains("AssertionError") && !own.message().contains('\n'), "{own}");
    let nowhere = ModelSpec::module("/nowhere/none.pt", rules(96, None));
    assert_eq!(Model::load(&nowhere, &Hardware::cpu()).err().unwrap().kind(), cairn::ErrorKind::NotFound);
}

/// It catches: one member that is resized by the rule of another, and a weight that does not count.
#[test]
fn a_module_stands_in_an_ensemble() {
    let Some(picture) = pixels() else { return };
    let text = format!("lite0-gem+{}:0.5", file("vector.pt").unwrap().display());
    let spec = text.parse::<ModelSpec>().unwrap().rules(&rules(96, None)).unwrap();
    let both = Model::load(&spec, &Hardware::cpu()).unwrap();
    assert_eq!((both.dimension(), both.info().name.as_str()), (1292, "lite0-gem+vector.pt:0.5"));
    let alone = model("vector.pt", rules(96, None)).unwrap();
    let lite0 = Model::load(&ModelSpec::new(crate::model::Architecture::Lite0), &Hardware::cpu()).unwrap();
    let of = |model: &Model| {
        let input = model.size_rule().fit(&picture).unwrap();
        model.encode(&[&input]).unwrap().remove(0)
    };
    let expected = crate::model::ensemble::concatenated(&[(1.0, of(&lite0)), (0.5, of(&alone))]);
    assert_eq!(of(&both), expected);
    let scaled = ModelSpec { scales: vec![0.5, 1.0], ..spec };
    let refused = Model::load(&scaled, &Hardware::cpu()).err().unwrap();
    assert!(refused.message().contains("cannot be used with a module"), "{refused}");
}

/// It catches: a network that runs before it is trusted, and one that a database gives otherwise than it was stored.
#[test]
fn a_database_gives_its_module_again_where_it_is_trusted() {
    let Some(picture) = pixels() else { return };
    let made = model("map.pt", rules(96, None)).unwrap();
    let kept = |wanted: &str| {
        let file = made.files().iter().find(|(name, _)| name == wanted);
        Ok(file.map(|(_, bytes)| bytes.to_vec()))
    };
    let module = crate::model::modules_of(made.info()).unwrap().remove(0);
    assert_eq!(module.name, "map.pt");
    module.try_first(&kept).unwrap();
    assert!(module.try_first(&|_| Ok(None)).unwrap_err().message().contains("lost its network map.pt"));
    let (digest, name) = (module.digest, module.name);
    // The list of the tests' own process; no other test of it loads a kept module.
    let list = trust::TrustList::of_this_user().unwrap();
    let again = || Model::reload(made.info(), &kept, None, &Hardware::cpu());
    if !list.has(digest).unwrap() {
        let refused = again().err().unwrap();
        assert!(refused.message().contains("does not trust yet"), "{refused}");
        assert!(refused.next_step().unwrap().contains("cairn trust"), "{refused}");
    }
    let network = &crate::model::Settings::parse(&made.info().settings).unwrap().networks[0];
    let bytes = crate::model::kept::read(&kept, network.digest).unwrap().unwrap();
    let crate::model::NetworkKind::Module { rules, .. } = &network.kind else { unreachable!() };
    let loaded = Module::load(&bytes, &name, rules.clone(), &Hardware::cpu()).unwrap();
    assert_eq!(loaded.encode(&[&picture]).unwrap(), made.encode(&[&picture]).unwrap());
}

/// The batches of a CUDA device, on this one.
#[test]
fn batches_are_used_where_they_change_nothing() {
    if pixels().is_none() {
        return;
    }
    for (name, expected) in [("vector.pt", CUDA_BATCH), ("map.pt", CUDA_BATCH)] {
        let bytes = read(&file(name).unwrap()).unwrap();
        let module = Module::load(&bytes, name, rules(96, None), &Hardware::cpu()).unwrap();
        assert_eq!(module.most_at_once().unwrap(), expected, "{name}");
    }
}

#[test]
fn names_are_those_of_files_in_letters_that_settings_hold() {
    for (path, name) in [
        ("/a b/sscd_disc_mixup.torchscript.pt", "sscd_disc_mixup.torchscript.pt"),
        ("net = 1+2:3\n.pt", "net___1_2_3_.pt"),
        ("é.pt", "_.pt"),
        ("x.pt", "x.pt"),
    ] {
        assert_eq!(name_of(Path::new(path)), name);
    }
    assert!(name_of(Path::new(&format!("{}.pt", "x".repeat(300)))).len() < 80);
}

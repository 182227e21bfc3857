//! ONNX graphs that this test writes itself, in protobuf's wire format.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cairndb_ingest::Encoder as _;
use cairndb_ingest::photo::Pixels;

use super::onnx::{LIBRARY, ONNX_RUNTIME_VARIABLE};
use super::rules::{Output, Rules, Sides};
use crate::device::Hardware;
use crate::model::architecture::find_beside;
use crate::model::{Model, ModelSpec};

/// A field of a length and its bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let (mut length, mut out) = (bytes.len(), vec![number << 3 | 2]);
    while length > 127 {
        out.push(length as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(bytes);
    out
}

/// A field of a small number.
fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

/// An input or output of f32 with so many axes of any length.
fn value(name: &str, axes: usize) -> Vec<u8> {
    let axis = field(1, &field(2, b"n"));
    let tensor = [number(1, 1), field(2, &axis.repeat(axes))].concat();
    [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
}

/// A graph of one node: x -> y, with the numbers of a list attribute.
fn graph(operator: &str, attribute: Option<(&str, &[u8])>, axes: usize) -> Vec<u8> {
    let keeps = [field(1, b"keepdims"), number(3, 0), [0xa0, 0x01, 2].to_vec()].concat();
    let attribute = attribute.map(|(name, values)| {
        let values: Vec<u8> = values.iter().flat_map(|&value| number(8, value)).collect();
        [field(5, &[field(1, name.as_bytes()), values, [0xa0, 0x01, 7].to_vec()].concat()), field(5, &keeps)].concat()
    });
    let node = [field(1, b"x"), field(2, b"y"), field(4, operator.as_bytes()), attribute.unwrap_or_default()].concat();
    let graph = [field(1, &node), field(2, b"g"), field(11, &value("x", 4)), field(12, &value("y", axes))].concat();
    [number(1, 8), field(7, &graph), field(8, &number(2, 13))].concat()
}

fn is_there() -> bool {
    let found = std::env::var_os(ONNX_RUNTIME_VARIABLE).is_some() || find_beside(LIBRARY, "").is_ok();
    if !found {
        eprintln!("SKIPPED: the ONNX Runtime is absent (python3 .setup/run.py fetch)");
    }
    found
}

/// It catches: another order of the input's axes, another normalisation than that of modules, an output that is read as another one.
#[test]
fn graphs_give_descriptors_and_refusals_as_modules_do() {
    if !is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let picture = Pixels::new(16, 16, (0..16 * 16 * 3u32).map(|at| (at * 37 % 251) as u8).collect()).unwrap();
    let rules = Rules { size: Some(Sides::Square(16)), ..Rules::default() };
    let load = |bytes: &[u8], rules: &Rules| {
        let path = folder.path().join("net.onnx");
        std::fs::write(&path, bytes).unwrap();
        Model::load(&ModelSpec::module(path, rules.clone()), &Hardware::cpu())
    };
    let mean = load(&graph("ReduceMean", Some(("axes", &[2, 3])), 2), &rules).unwrap();
    assert_eq!((mean.info().name.as_str(), mean.dimension()), ("net.onnx", 3));
    let [mean_of, deviation] = rules.normalisation();
    let channel = |c: usize| {
        let sum: f64 = picture.rgb().iter().skip(c).step_by(3).map(|&x| f64::from(x)).sum();
        (sum / 256.0 - f64::from(mean_of[c])) / f64::from(deviation[c])
    };
    let raw = [channel(0), channel(1), channel(2)];
    let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
    let found = mean.encode(&[&picture]).unwrap().remove(0);
    assert!(found.iter().zip(raw).all(|(a, b)| (f64::from(*a) - b / length).abs() < 1e-5), "{found:?} {raw:?}");
    // A map is pooled.
    let map = load(&graph("Relu", None, 4), &Rules { output: Some(Output::Map), ..rules.clone() }).unwrap();
    assert_eq!(map.dimension(), 3);
    // Weights in another file, which could change under the digest: as an initialiser, and inside a constant of a node.
    let outside = [field(13, &[field(1, b"location"), field(2, b"w.bin")].concat()), number(14, 1)].concat();
    let initialised = field(7, &field(5, &outside));
    let constant = field(7, &field(1, &field(5, &field(5, &outside))));
    let sound = graph("ReduceMean", Some(("axes", &[2, 3])), 2);
    for (bytes, why) in [
        ([sound.clone(), initialised].concat(), "some of its weights are in other files"),
        ([sound, constant].concat(), "some of its weights are in other files"),
        (graph("ReduceMean", Some(("axes", &[1])), 3), "are tokens"),
        (graph("NoSuchOperator", None, 2), "no ONNX graph that can be loaded"),
        (b"not a graph".to_vec(), "no ONNX graph that can be loaded"),
        (Vec::new(), "no ONNX graph that can be loaded"),
    ] {
        let refused = load(&bytes, &rules).err().unwrap();
        assert!(refused.message().contains(why) && refused.next_step().is_some(), "{refused}");
    }
}

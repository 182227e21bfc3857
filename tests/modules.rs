//! Networks that somebody else made (`--model FILE.pt`): created, trusted, searched, trained, moved, and refused.
//!
//! It catches: a module that runs before it is trusted, a hostile one that takes the memory or the time of the program, a database that
//! needs the file it was made from, an error without the module's own words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Output;

use cairndb_tests::{cairn, lines, shared};

/// Pixels of the photos of this test.
const SIDE: u32 = 32;

/// Writes a TorchScript module whose `forward` has these lines: an archive of code, without any number of its own.
fn module(path: &Path, forward: &[&str]) {
    let body: String = forward.iter().map(|line| format!("    {line}\n")).collect();
    let code = format!(
        "class M(Module):\n  __parameters__ = []\n  __buffers__ = []\n  def forward(self: __torch__.M,\n    x: Tensor) -> Tensor:\n{body}"
    );
    let entries: [(&str, &[u8]); 5] = [
        ("m/data.pkl", b"\x80\x02c__torch__\nM\nq\x00)\x81}(ubq\x01."),
        ("m/code/__torch__.py", code.as_bytes()),
        ("m/constants.pkl", b"\x80\x02)."),
        ("m/version", b"4\n"),
        ("m/byteorder", b"little"),
    ];
    let (mut file, mut list) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let about: Vec<u8> = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &crc32fast::hash(bytes).to_le_bytes(),
            &(bytes.len() as u32).to_le_bytes(),
            &(bytes.len() as u32).to_le_bytes(),
            &(name.len() as u16).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        list.extend(
            [&b"PK\x01\x02\x14\0"[..], &about, &[0; 10], &(file.len() as u32).to_le_bytes(), name.as_bytes()].concat(),
        );
        file.extend([b"PK\x03\x04", &about[..], name.as_bytes(), bytes].concat());
    }
    let count = (entries.len() as u16).to_le_bytes();
    let end = [
        &b"PK\x05\x06\0\0\0\0"[..],
        &count,
        &count,
        &(list.len() as u32).to_le_bytes(),
        &(file.len() as u32).to_le_bytes(),
        &[0, 0],
    ];
    let archive = [file, list, end.concat()].concat();
    std::fs::write(path, archive).unwrap();
}

/// Mean and deviation of each channel: six numbers.
const STATISTICS: [&str; 3] =
    ["_0 = torch.mean(x, [2, 3])", "_1 = torch.mean(torch.mul(x, x), [2, 3])", "return torch.cat([_0, _1], 1)"];

/// A folder with photos of four colours, `train.csv` with two of each and `index.csv` with one of each.
fn photos(folder: &Path) {
    let (mut train, mut index) = ("id,path,label\n".to_owned(), "id,path\n".to_owned());
    for (label, colour) in
        [("red", [220u8, 20, 30]), ("green", [10, 200, 40]), ("blue", [30, 40, 230]), ("grey", [120; 3])]
    {
        for at in 0..3u8 {
            let pixel = |x: u32, y: u32| image::Rgb(colour.map(|part| part.wrapping_add(at * 5 + (x ^ y) as u8 % 16)));
            let name = format!("{label}{at}.png");
            image::RgbImage::from_fn(SIDE, SIDE, pixel).save(folder.join(&name)).unwrap();
            match at {
                0 => index.push_str(&format!("{label}{at},{name}\n")),
                _ => train.push_str(&format!("{label}{at},{name},{label}\n")),
            }
        }
    }
    std::fs::write(folder.join("train.csv"), train).unwrap();
    std::fs::write(folder.join("index.csv"), index).unwrap();
}

/// Runs the program as the user whose list of trusted networks that is.
fn run_as(list: &str, folder: &Path, words: &[&str]) -> (String, String, Option<i32>) {
    let Output { stdout, stderr, status } =
        cairn().current_dir(folder).env("CAIRN_TRUST", folder.join(list)).args(words).output().unwrap();
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), status.code())
}

fn done_as(list: &str, folder: &Path, words: &[&str]) -> (String, String) {
    let (out, said, code) = run_as(list, folder, words);
    assert_eq!(code, Some(0), "cairn {words:?}: {out}{said}");
    (out, said)
}

fn refused_as(list: &str, folder: &Path, words: &[&str]) -> String {
    let (out, said, code) = run_as(list, folder, words);
    assert_eq!(code, Some(1), "cairn {words:?}: {out}{said}");
    said
}

#[test]
fn a_module_embeds_moves_and_runs_where_it_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    photos(path);
    module(&path.join("net.pt"), &STATISTICS);
    std::fs::write(path.join("net.json"), r#"{"size": 32, "mean": [0, 0, 0], "deviation": [1, 1, 1]}"#).unwrap();
    let (_, said) = done_as("maker", path, &["create", "DB", "--model", "net.pt"]);
    assert!(
        said.contains("net.pt is trusted on this machine (BLAKE3 ") && said.contains("net.pt with 6 dimensions"),
        "{said}"
    );
    done_as("maker", path, &["ingest", "DB", "train.csv", "--as", "train"]);
    done_as("maker", path, &["ingest", "DB", "index.csv", "--as", "index"]);
    // The database has the network; the file may go.
    std::fs::remove_file(path.join("net.pt")).unwrap();
    std::fs::remove_file(path.join("net.json")).unwrap();
    let search = ["query", "DB", "-c", "SEARCH 'red1.png' K 2 RERANK", "--format", "csv"];
    let (answer, _) = done_as("maker", path, &search);
    assert!(answer.contains(",red0,"), "{answer}");

    // A backup at another user's machine: everything but the network.
    done_as("maker", path, &["backup", "DB", "copy"]);
    done_as("other", path, &["restore", "copy", "THERE"]);
    let by_id = ["query", "THERE", "-c", "SEARCH ID 'red0' K 2", "--format", "csv"];
    assert!(done_as("other", path, &by_id).0.contains("grey0"));
    done_as("other", path, &["check", "THERE", "--deep"]);
    let search = ["query", "THERE", "-c", "SEARCH 'red1.png' K 2 RERANK", "--format", "csv"];
    let said = refused_as("other", path, &search);
    assert!(
        said.contains("net.pt is code that this machine does not trust yet") && said.contains("cairn trust"),
        "{said}"
    );
    let (_, said, code) =
        run_as("other", path, &["ingest", "THERE", "index.csv", "--as", "index", "--allow-failures", "all"]);
    assert!(code != Some(0) || said.contains("skipped"), "{said}");
    assert_eq!(done_as("other", path, &["trust", "--list"]).0, "");
    let (_, said) = done_as("other", path, &["trust", "THERE"]);
    assert!(said.contains("1 module may run"), "{said}");
    assert_eq!(done_as("other", path, &search).0, answer);
    let (list, _) = done_as("other", path, &["trust", "--list"]);
    let digest = list.strip_suffix(" net.pt\n").unwrap();
    done_as("other", path, &["trust", "--forget", digest]);
    assert!(refused_as("other", path, &["trust", "--forget", digest]).contains("no trusted module has the digest"));
    assert!(refused_as("other", path, &search).contains("does not trust yet"));

    // A map behind it is learnt and a backup of it is whole; its layers are its own.
    let train = "TRAIN loss=arcface dim=4 epochs=5 validation=0 FORCE";
    let (report, _) = done_as("maker", path, &["query", "DB", "-c", train]);
    assert!(report.contains("net.pt+trained"), "{report}");
    let said = refused_as("maker", path, &["query", "DB", "-c", "TRAIN TRUNK"]);
    assert!(said.contains("is a module whose layers it cannot see"), "{said}");
    assert!(
        done_as("maker", path, &["query", "DB", "-c", "SEARCH 'red1.png' K 1", "--format", "csv"]).0.contains("red0")
    );
    done_as("maker", path, &["query", "DB", "-c", "REEMBED; SHOW MODELS"]);
    let vectors = path.join("bare");
    std::fs::create_dir(&vectors).unwrap();
    done_as("maker", path, &["create", "bare/DB", "--dim", "2"]);
    assert!(done_as("maker", path, &["trust", "bare/DB"]).1.contains("has no module"));
}

/// A database changes to a module and back, by a statement; a statement does not make it trusted.
#[test]
fn a_statement_names_a_module_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    photos(path);
    module(&path.join("net.pt"), &STATISTICS);
    module(&path.join("other.pt"), &["return torch.mean(x, [2, 3])"]);
    done_as("mine", path, &["create", "DB", "--model", "net.pt", "--input-size", "32", "--mean", "0,0,0"]);
    done_as("mine", path, &["ingest", "DB", "train.csv", "--as", "train"]);
    let reembed = ["query", "DB", "-c", "REEMBED FROM 'other.pt'; SHOW MODELS", "--format", "csv"];
    let said = refused_as("mine", path, &reembed);
    assert!(said.contains("other.pt is code that this machine does not trust yet"), "{said}");
    done_as("mine", path, &["trust", "other.pt"]);
    let (models, _) = done_as("mine", path, &reembed);
    let active: Vec<&str> =
        models.lines().filter(|line| line.contains("active") && line.contains("other.pt")).collect();
    assert!(active.iter().any(|line| line.contains('3')), "{models}");
    assert!(
        done_as("mine", path, &["query", "DB", "-c", "SEARCH 'red1.png' IN train K 1", "--format", "csv"])
            .0
            .contains("red1")
    );
    done_as("mine", path, &["query", "DB", "-c", "USE MODEL 0; CHECK DEEP"]);
    let said = refused_as("mine", path, &["query", "DB", "-c", "REEMBED FROM 'weights.safetensors'"]);
    assert!(said.contains("TorchScript module, which has its own weights"), "{said}");
}

#[test]
fn a_hostile_or_unfit_module_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    module(
        &path.join("big.pt"),
        &["_0 = torch.zeros([56000000000])", "return torch.add(torch.mean(x, [2, 3]), torch.sum(_0))"],
    );
    module(
        &path.join("words.pt"),
        &["_0 = \"AssertionError: only on Mondays\"", "ops.prim.RaiseException(_0)", "return x"],
    );
    module(&path.join("flat.pt"), &["return torch.mul(torch.mean(x, [2, 3]), 0.)"]);
    module(&path.join("scalar.pt"), &["return torch.mean(x)"]);
    module(&path.join("syntax.pt"), &["return torch.no_such_function(x)"]);
    std::fs::write(path.join("text.pt"), "not an archive").unwrap();
    for (name, why) in [
        ("big.pt", "big.pt asks for more memory than it may have"),
        ("words.pt", "AssertionError: only on Mondays"),
        ("flat.pt", "no usable descriptor"),
        ("scalar.pt", "returns a tensor of shape []"),
        ("syntax.pt", "no TorchScript module that can be loaded"),
        ("text.pt", "no TorchScript module that can be loaded"),
        ("none.pt", "No such file"),
    ] {
        let said = refused_as("list", path, &["create", "DB", "--model", name]);
        assert!(said.contains(why) && said.contains("help: "), "{name}: {said}");
        assert!(!path.join("DB").exists() && !path.join("list").exists(), "{name}");
        assert!(!said.contains("Exception raised from") && !said.contains("frame #"), "{said}");
    }
    module(&path.join("net.pt"), &STATISTICS);
    for (flags, why) in [
        (&["--input-size", "8"][..], "8x8 pixels"),
        (&["--short-side", "100"], "no middle of 224"),
        (&["--scales", "1,2"], "cannot be used with a module"),
        (&["--weights", "w.safetensors"], "leave --weights out"),
        (&["--output", "map"], "not the output that its rules name"),
    ] {
        let said = refused_as("list", path, &[&["create", "DB", "--model", "net.pt"][..], flags].concat());
        assert!(said.contains(why), "{flags:?}: {said}");
    }
    let (_, said, code) = run_as("list", path, &["create", "DB", "--dim", "2", "--resize", "pad"]);
    assert!(code == Some(2) && said.contains("--model FILE.pt"), "{said}");
    let said = refused_as("list", path, &["create", "DB", "--model", "lite0-gem", "--input-size", "96"]);
    assert!(said.contains("lite0-gem knows its own input"), "{said}");
    assert!(!path.join("DB").exists());
}

/// The modules of the shared data, by the program: each answers for the photo whose descriptor its maker wrote down.
#[test]
fn descriptors_are_those_of_the_makers() {
    let Some(golden) = shared("golden/torchscript") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let expected: serde_json::Value = serde_json::from_str(&lines(&golden.join("expected.json")).join("\n")).unwrap();
    for (name, case, flags) in [
        ("vector.pt", "vector", &[][..]),
        ("map.pt", "map_gem3", &["--resize", "pad"]),
        ("tokens.pt", "tokens_first", &["--output", "first-token"]),
        ("tokens.pt", "tokens_mean", &["--output", "mean-token", "--resize", "squash"]),
        ("fixed.pt", "fixed", &["--short-side", "96"]),
    ] {
        let (file, picture) = (golden.join(name), golden.join("pixels.png"));
        let create = ["create", case, "--model", file.to_str().unwrap(), "--input-size", "96"];
        done_as("list", path, &[&create[..], flags].concat());
        std::fs::write(path.join("one.csv"), format!("id,path\np,{}\n", picture.display())).unwrap();
        done_as("list", path, &["ingest", case, "one.csv", "--as", "index"]);
        let search = format!("SEARCH VECTOR {} K 1", expected[case]);
        let (answer, _) = done_as("list", path, &["query", case, "-c", &search, "--format", "jsonl"]);
        let row: serde_json::Value = serde_json::from_str(answer.lines().next().unwrap()).unwrap();
        let similarity = row["similarity"].as_f64().unwrap_or_else(|| panic!("{answer}"));
        assert!((similarity - 1.0).abs() < 1e-6, "{case}: {similarity}");
    }
    for (name, flags, why) in [
        ("tokens.pt", &[][..], "first-token"),
        ("fixed.pt", &["--input-size", "64"], "AssertionError: this network takes 96 x 96"),
        ("pair.pt", &[], "returns a tuple of 2"),
        ("nan.pt", &[], "no usable descriptor"),
    ] {
        let file = golden.join(name);
        let said =
            refused_as("list", path, &[&["create", "DB", "--model", file.to_str().unwrap()][..], flags].concat());
        assert!(said.contains(why), "{name}: {said}");
    }
}

//! The command that checks a device, run on the CPU; on a GPU machine `benches/gpu.sh` runs the same command.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use cairndb_tests::{cairn, run_ok};

#[test]
fn a_device_changes_speed_and_no_prediction() {
    let folder = tempfile::tempdir().unwrap();
    let few = ["device", "--device", "cpu", "--photos", "8", "--rows", "1200"];
    let training = ["--training", "resnet18-gem", "--batch", "2", "--steps", "1"];
    let said = run_ok(folder.path(), &[few.as_slice(), &training].concat());
    assert!(said.contains("training steps of resnet18-gem at 512x384, 2 photos each"), "{said}");
    assert!(said.contains("predictions that differ: 0"), "{said}");
    assert!(said.contains("smallest cosine to the cpu 1.00000"), "{said}");
    assert!(said.ends_with("all checks passed\n"), "{said}");
}

#[test]
fn cuda_that_cannot_be_had_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = cairn();
    command
        .current_dir(folder.path())
        .args(["device", "--device", "cuda"])
        .env("CAIRN_TORCH_LIB", "/nowhere/torch/lib");
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/nowhere/torch/lib") && said.contains("help:"), "{said}");
}

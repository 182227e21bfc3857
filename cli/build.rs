//! Tells the program where its libraries are, so that it runs without any variable: relative to itself when installed
//! (`.setup/install.py`), and in the folder of libtorch when built; see `ingest/torch/build.rs`.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if let Ok(folder) = env::var("DEP_TCH_LIBTORCH_LIB") {
        // The installation does not change the first one.
        println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/cairn");
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}

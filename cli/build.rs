//! Tells the program where its libraries lie, so that it runs without any variable set: from its own place where it was installed
//! (`.setup/install.py`), and in the folder of libtorch where it was built; see `ingest/torch/build.rs`.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if let Ok(folder) = env::var("DEP_TCH_LIBTORCH_LIB") {
        // The installation leaves the first one alone.
        println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/cairn");
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}

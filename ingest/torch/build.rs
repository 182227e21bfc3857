//! Gives this crate's tests the folder of libtorch as an rpath, so that `cargo test` works without any variable set.
//!
//! torch-sys (`links = "tch"`) publishes the folder as `DEP_TCH_LIBTORCH_LIB`. Dependent crates do not inherit a link argument:
//! every crate whose binaries or tests use torch has a script like this one and depends on torch-sys itself.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if let Ok(folder) = env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}

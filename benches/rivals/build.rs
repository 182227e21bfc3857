//! Compiles the bridge to hnswlib, whose headers are not part of this project.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-env-changed=HNSWLIB_INCLUDE");
    println!("cargo::rerun-if-changed=src/shim.h");
    println!("cargo::rerun-if-changed=src/shim.cc");
    let headers = std::env::var("HNSWLIB_INCLUDE").unwrap_or_default();
    if !Path::new(&headers).join("hnswlib/hnswlib.h").exists() {
        println!("cargo::error=HNSWLIB_INCLUDE must name the folder that holds hnswlib/hnswlib.h: see README.md");
        return;
    }
    // The flags of hnswlib's own setup.py.
    cxx_build::bridge("src/hnswlib.rs")
        .file("src/shim.cc")
        .include(headers)
        .std("c++17")
        .opt_level(3)
        .flag("-march=native")
        .warnings(false)
        .compile("rivals_hnswlib");
}

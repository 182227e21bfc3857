//! Photos as people have them, by the program: every kind, what a folder leaves out, what moved, what is gone, what is known beside.
//!
//! It catches: a kind judged by its name, something ignored silently, a moved photo that is embedded again, a prune that deletes
//! more than it may, a single file that is answered with an error of lists.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use cairndb_tests::{outcome, run_ok, shared};

fn ingest(folder: &Path, words: &[&str]) -> (i32, String) {
    let (_, said, code) = outcome(folder, &[&["ingest", "DB"], words, &["--as", "index"]].concat());
    (code.unwrap(), said)
}

#[test]
fn a_library_is_ingested_moved_and_pruned() {
    let Some(cases) = shared("cases") else { return };
    let home = tempfile::tempdir().unwrap();
    let library = home.path().join("photos");
    fs::create_dir_all(library.join("@eaDir")).unwrap();
    for entry in fs::read_dir(cases.join("kinds")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, library.join(path.file_name().unwrap())).unwrap();
    }
    fs::copy(cases.join("kinds/upright.jpg"), library.join("no ending")).unwrap();
    fs::copy(cases.join("kinds/upright.jpg"), library.join("@eaDir/thumb.jpg")).unwrap();
    fs::write(library.join("clip.mov"), b"\0\0\0\x14ftypqt  \0\0\0\0qt  ").unwrap();
    fs::write(library.join(".DS_Store"), b"\0").unwrap();
    run_ok(home.path(), &["create", "DB", "--model", "lite0-gem"]);
    let (code, said) = ingest(home.path(), &["photos"]);
    assert_eq!(code, 5, "{said}");
    for sentence in [
        "left out: 1 file of a kind that is not read: .mov 1",
        "left out: what systems leave behind: @eaDir",
        "left out: 1 hidden entry",
        "page.jpg: not a photo: a web page",
        "pointer.jpg: not a photo: a Git LFS pointer",
    ] {
        assert!(said.contains(sentence), "{sentence}: {said}");
    }
    // Where the machine has no libheif, three more are named with how to get it.
    let without = said.matches("which this machine lacks").count();
    assert!(said.contains(&format!("added {}, ", 9 - without)), "{said}");
    let (code, said) = ingest(home.path(), &["photos/clip.mov"]);
    assert!(code == 1 && said.contains("is no photo and no list: it is a video"), "{code}: {said}");

    // The two files that are no photos go; a folder of photos is made of those with names of their own.
    for name in ["page.jpg", "pointer.jpg", "no ending", "photo.jfif", "really_a_jpeg.HEIC", "really_a_heic.jpg"] {
        fs::remove_file(library.join(name)).unwrap();
    }
    fs::create_dir(library.join("trip")).unwrap();
    fs::rename(library.join("upright.jp2"), library.join("trip/renamed.jp2")).unwrap();
    let (code, said) = ingest(home.path(), &["photos", "--prune", "--dry-run"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("added 0, replaced 0, ") && said.contains("1 stored photo found at another place"), "{said}");
    let gone = 4 - without.min(1);
    assert!(said.contains(&format!("--prune would delete {gone} images")), "{said}");
    let (code, said) = ingest(home.path(), &["photos", "--prune"]);
    assert!(code == 1 && said.contains("more than the 0 that --prune may delete"), "{code}: {said}");
    let (code, said) = ingest(home.path(), &["photos", "--prune", "--prune-most", "4"]);
    assert!(code == 0 && said.contains(&format!("deleted {gone} images without a file")), "{code}: {said}");
    let rows = run_ok(home.path(), &["query", "DB", "-c", "SEARCH ID 'trip/renamed.jp2' K 20", "--format", "csv"]);
    assert!(rows.contains("upright.jpg") && !rows.contains("photo.jfif"), "{rows}");
    let (code, said) = ingest(home.path(), &["photos", "--prune", "--exclude", "trip/"]);
    assert!(code == 0 && said.contains("left out: 1 excluded entry") && !said.contains("deleted"), "{said}");
}

#[test]
fn columns_of_a_list_become_attributes() {
    let Some(cases) = shared("cases") else { return };
    let home = tempfile::tempdir().unwrap();
    for (from, to) in [("kinds/upright.jpg", "a.jpg"), ("hole/whole.jpg", "b.jpg")] {
        fs::copy(cases.join(from), home.path().join(to)).unwrap();
    }
    run_ok(home.path(), &["create", "DB", "--model", "lite0-gem"]);
    let list = |stars: &str| {
        let text = format!("id,path,stars,code\na,a.jpg,{stars},007\nb,b.jpg,,x\n");
        fs::write(home.path().join("list.csv"), text).unwrap();
    };
    list("4.5");
    let (code, said) = ingest(home.path(), &["list.csv", "--attributes", "stars:number,code:text"]);
    assert!(code == 0 && said.contains("added 2"), "{said}");
    list("5");
    let (code, said) = ingest(home.path(), &["list.csv", "--attributes", "all"]);
    assert!(code == 0 && said.contains("unchanged 2") && said.contains("attributes changed: 1 image"), "{said}");
    list("many");
    let (code, said) = ingest(home.path(), &["list.csv", "--attributes", "stars:number"]);
    assert!(code == 1 && said.contains("line 2: id 'a': column 'stars': 'many' is no number"), "{code}: {said}");
    let (code, said) = ingest(home.path(), &["list.csv", "--attributes", "colour"]);
    assert!(code == 1 && said.contains("no column 'colour'"), "{code}: {said}");
}

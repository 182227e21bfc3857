//! Bad input of every kind a user can have: a clear error that says what to do, never a panic, and nothing lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use cairndb_tests::{run, run_ok};

/// Runs the program, which must fail with this exit code, and returns what it said.
fn refused(folder: &Path, words: &[&str], code: i32) -> String {
    let output = run(folder, words);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "cairn {words:?}: {said}");
    assert!(!said.contains("panicked"), "cairn {words:?}: {said}");
    assert!(said.contains("error:"), "cairn {words:?}: {said}");
    said
}

fn picture(seed: u32) -> image::RgbImage {
    image::RgbImage::from_fn(120, 90, |x, y| image::Rgb([(x * seed) as u8, (y * 3) as u8, (x + y) as u8]))
}

fn database(folder: &Path) {
    run_ok(folder, &["create", "DB", "--model", "lite0-gem"]);
}

/// What `SHOW STATUS` says of the number of index images.
fn index_images(folder: &Path) -> usize {
    let status = run_ok(folder, &["query", "DB", "-c", "SHOW STATUS", "--format", "csv"]);
    let line = status.lines().find_map(|line| line.strip_prefix("index images,")).expect("the line is there");
    line.parse().unwrap()
}

#[test]
fn bad_photos_are_listed_and_the_rest_goes_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let photos = path.join("photos");
    std::fs::create_dir(&photos).unwrap();
    picture(2).save(photos.join("good.jpg")).unwrap();
    picture(3).save(photos.join("good.png")).unwrap();
    image::DynamicImage::from(picture(4)).into_rgb16().save(photos.join("sixteen-bit.png")).unwrap();
    std::fs::write(photos.join("not-an-image.jpg"), "this is text").unwrap();
    std::fs::write(photos.join("empty.jpg"), "").unwrap();
    let whole = std::fs::read(photos.join("good.jpg")).unwrap();
    std::fs::write(photos.join("truncated.jpg"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(photos.join("bomb.png"), huge_png_header()).unwrap();
    database(path);
    let output = run(path, &["ingest", "DB", "photos", "--as", "index"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    for bad in ["not-an-image.jpg", "empty.jpg", "truncated.jpg", "bomb.png"] {
        assert!(said.contains(bad), "{bad} is not listed: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    assert!(said.contains("added 3") && said.contains("failed 4"), "{said}");
    assert_eq!(index_images(path), 3);
}

/// A PNG whose header promises 50,000 x 50,000 pixels.
fn huge_png_header() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR".to_vec();
    for _ in 0..2 {
        bytes.extend(50_000u32.swap_bytes().to_le_bytes());
    }
    bytes.extend([8, 2, 0, 0, 0]);
    let crc = bytes[12..].iter().fold(u32::MAX, |mut crc, &byte| {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
        crc
    });
    bytes.extend((!crc).swap_bytes().to_le_bytes());
    bytes
}

#[test]
fn all_eight_orientations_are_the_same_photo() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let photos = path.join("photos");
    std::fs::create_dir(&photos).unwrap();
    let upright = image::RgbImage::from_fn(160, 96, |x, y| image::Rgb([(x / 20 * 30) as u8, (y / 12 * 30) as u8, 60]));
    // EXIF orientation n says how to turn the stored pixels upright; here the pixels are turned the other way first.
    let stored: [(u8, image::RgbImage); 8] = [
        (1, upright.clone()),
        (2, image::imageops::flip_horizontal(&upright)),
        (3, image::imageops::rotate180(&upright)),
        (4, image::imageops::flip_vertical(&upright)),
        (5, image::imageops::flip_horizontal(&image::imageops::rotate90(&upright))),
        (6, image::imageops::rotate270(&upright)),
        (7, image::imageops::flip_horizontal(&image::imageops::rotate270(&upright))),
        (8, image::imageops::rotate90(&upright)),
    ];
    for (orientation, pixels) in stored {
        let mut jpeg = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 95).encode_image(&pixels).unwrap();
        let exif =
            [b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0, 0]]
                .concat();
        let length = (exif.len() + 2) as u16;
        let marker = [&[0xff, 0xe1][..], &length.swap_bytes().to_le_bytes(), &exif].concat();
        let bytes = [&jpeg[..2], &marker, &jpeg[2..]].concat();
        std::fs::write(photos.join(format!("{orientation}.jpg")), bytes).unwrap();
    }
    database(path);
    run_ok(path, &["ingest", "DB", "photos", "--as", "index"]);
    let csv = run_ok(path, &["query", "DB", "-c", "SEARCH ID '1.jpg' INCLUDING SELF EXACT", "--format", "csv"]);
    let similarities: Vec<f32> =
        csv.lines().skip(1).map(|row| row.split(',').nth(3).unwrap().parse().unwrap()).collect();
    assert_eq!(similarities.len(), 8);
    assert!(similarities.iter().all(|&similarity| similarity > 0.995), "{csv}");
}

#[test]
fn sources_and_lists_that_cannot_be_used_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    database(path);
    std::fs::create_dir(path.join("empty")).unwrap();
    std::fs::create_dir(path.join("photos")).unwrap();
    picture(5).save(path.join("photos/a.png")).unwrap();
    std::fs::write(path.join("no-label.csv"), "id,name\na.png,tower\n").unwrap();
    std::fs::write(path.join("unknown-id.csv"), "id,label\na.png,tower\nnowhere.png,tower\n").unwrap();
    std::fs::write(path.join("no-path.csv"), "id,file\na,photos/a.png\n").unwrap();

    let ingest = |words: &[&str]| refused(path, &[&["ingest", "DB"], words].concat(), 1);
    assert!(ingest(&["empty", "--as", "index"]).contains("empty"));
    assert!(ingest(&["missing-folder", "--as", "index"]).contains("missing-folder"));
    assert!(ingest(&["missing.csv", "--as", "index"]).contains("missing.csv"));
    assert!(ingest(&["no-path.csv", "--as", "index"]).contains("path"));
    let said = ingest(&["photos", "--as", "train", "--labels", "no-label.csv"]);
    assert!(said.contains("label") && said.contains("name"), "the columns found are named: {said}");
    let said = ingest(&["photos", "--as", "train", "--labels", "unknown-id.csv"]);
    assert!(said.contains("nowhere.png"), "{said}");
    let said = ingest(&["photos", "--as", "train"]);
    assert!(said.contains("a.png") && said.contains("label"), "{said}");
    assert_eq!(index_images(path), 0);
}

#[test]
fn statements_and_databases_that_cannot_be_used_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let said = refused(path, &["query", "nowhere", "-c", "SHOW STATUS"], 1);
    assert!(said.contains("nowhere") && said.contains("create"), "{said}");
    run_ok(path, &["create", "DB", "--dim", "2"]);
    refused(path, &["create", "DB", "--dim", "2"], 1);
    // A number that the command line cannot mean has one exit code, wherever it stands.
    for line in [
        "create ZERO --dim 0",
        "create ZERO --dim 65537",
        "create ZERO --dim 2 --vote-k 0",
        "create ZERO --dim 2 --vote-k 9 --neighbours 8",
        "create ZERO --dim 2 --neighbours 257",
        "predict DB --id a --k 0",
        "eval DB --queries q.npy --truth t.csv --k 0",
    ] {
        refused(path, &line.split(' ').collect::<Vec<_>>(), 2);
    }
    assert!(!path.join("ZERO").exists());
    refused(path, &["create", "X", "--model", "no-such-model"], 1);
    let query = |statement: &str| refused(path, &["query", "DB", "-c", statement], 1);
    assert!(query("SEARCH ID 'unknown' K 5").contains("unknown"));
    assert!(query("SEARCH 'photo.jpg'").contains("model"));
    assert!(query("SEARCH VECTOR [1, 2, 3]").contains("dimension"));
    assert!(query("DELETE ID 'unknown'").contains("unknown"));
    for statement in [
        "SEARCH img K=100",
        "SEARCH img RERANK k 3",
        "SEARCH img RERANK k=3 tau=2.5",
        "SEARCH img RERANK k=0",
        "SEARCH VECTOR [0, 0]",
        "SEARCH VECTOR [nan, 1]",
        "SEARCH img K 0",
        "SEARCH photo.jpg",
        "SEARCH 'unfinished",
        "FIND img",
    ] {
        let said = query(statement);
        assert!(said.contains('^') && said.contains("help:"), "{statement}: {said}");
    }
    // Nothing runs when any statement of a text is wrong.
    query("PUT ID 'a' VECTOR [1, 0]; SEARCH img K 0");
    assert!(run_ok(path, &["status", "DB"]).contains("index images"));
    assert_eq!(index_images(path), 0);
    run_ok(
        path,
        &[
            "query",
            "DB",
            "-c",
            "PUT ID 'a' VECTOR [1, 0]; PUT ID 'b' VECTOR [0, 1] LABEL 'x'; LABEL ID 'a' AS 'y'; UNLABEL ID 'a'",
        ],
    );
    assert_eq!(index_images(path), 1);
}

#[test]
fn a_database_in_use_names_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    run_ok(folder.path(), &["create", "DB", "--dim", "2"]);
    let held = cairn::Database::open(folder.path().join("DB")).unwrap();
    // What only reads does so beside the holder; what writes is refused before anything is written.
    run_ok(folder.path(), &["query", "DB", "-c", "SHOW STATUS"]);
    for words in
        [&["query", "DB", "-c", "SHOW STATUS; FLUSH"][..], &["ingest", "DB", "x.npy", "--as", "index"], &["repl", "DB"]]
    {
        let said = refused(folder.path(), words, 4);
        assert!(said.contains(&std::process::id().to_string()), "{said}");
    }
    drop(held);
    run_ok(folder.path(), &["query", "DB", "-c", "FLUSH"]);
}

#[test]
fn a_database_is_read_beside_its_writer_and_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_ok(path, &["create", "DB", "--dim", "2"]);
    run_ok(path, &["query", "DB", "-c", "PUT ID 'a' VECTOR [1, 0]; PUT ID 'b' VECTOR [0, 1] LABEL 'x'"]);
    let writer = cairn::Database::open(path.join("DB")).unwrap();
    let csv = run_ok(path, &["query", "DB", "--read-only", "-c", "SEARCH VECTOR [1, 0] RERANK", "--format", "csv"]);
    assert_eq!(csv.lines().nth(1), Some("0,1,a,1,x,0,positive"));
    assert!(run_ok(path, &["status", "DB"]).contains("health"));
    assert!(run_ok(path, &["status", "DB", "--read-only"]).contains("health"));
    assert!(run_ok(path, &["check", "DB", "--read-only", "--deep"]).contains("no problems"));
    for statement in ["DELETE ID 'a'", "PUT ID 'c' VECTOR [1, 1]", "LABEL ID 'a' AS 'y'"] {
        let said = refused(path, &["query", "DB", "--read-only", "-c", statement], 1);
        assert!(said.contains("reading only"), "{said}");
    }
    assert_eq!(writer.snapshot().counts().index, 1);
}

#[test]
fn damage_is_found_backups_bring_back_and_repair_keeps_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_ok(path, &["create", "DB", "--dim", "2"]);
    run_ok(
        path,
        &["query", "DB", "-c", "PUT ID 'a' VECTOR [1, 0]; PUT ID 'b' VECTOR [0, 1] LABEL 'x'; FLUSH; SHOW SEGMENTS"],
    );
    assert!(run_ok(path, &["check", "DB", "--deep"]).contains("no problems"));
    run_ok(path, &["backup", "DB", "monday"]);
    assert!(refused(path, &["backup", "DB", "monday"], 1).contains("already holds a backup"));
    assert!(run_ok(path, &["backup", "--verify", "monday"]).contains("sound"));
    run_ok(path, &["restore", "monday", "DB2"]);
    assert_eq!(run_ok(path, &["query", "DB2", "-c", "SHOW LABELS", "--format", "csv"]).lines().nth(1), Some("x,1"));
    refused(path, &["restore", "monday", "DB2"], 1);
    refused(path, &["restore", "nowhere", "DB3"], 1);

    // A lost segment is a problem that mends itself once the database is open for writing.
    for entry in std::fs::read_dir(path.join("DB2/segments")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let said = refused(path, &["check", "DB2", "--read-only"], 3);
    assert!(said.contains("problem: segment") && said.contains("no image is lost"), "{said}");
    refused(path, &["query", "DB2", "--read-only", "-c", "CHECK; DELETE ID 'a'"], 3);

    // A catalog that does not open is repaired; the images are still there.
    std::fs::remove_file(path.join("DB/catalog/CURRENT")).unwrap();
    assert!(refused(path, &["status", "DB"], 3).contains("cairn repair"));
    // Tables without a list may lack what nobody can name, so that it ends as one that lost something.
    let output = run(path, &["repair", "DB"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("kept 1 train and 1 index images") && said.contains("unreadable places"), "{said}");
    assert!(run_ok(path, &["check", "DB", "--deep"]).contains("no problems"));

    let list = path.join("monday/BACKUP");
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, text.replace("catalog/CURRENT", "catalog/current")).unwrap();
    refused(path, &["backup", "--verify", "monday"], 3);
    refused(path, &["restore", "monday", "DB3"], 3);
}

#[test]
fn no_voters_no_predictions_and_the_answer_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_ok(path, &["create", "DB", "--dim", "2"]);
    let empty = run_ok(path, &["query", "DB", "-c", "SEARCH VECTOR [1, 0] RERANK", "--format", "csv"]);
    assert_eq!(empty.lines().count(), 1, "only the header: {empty}");
    run_ok(path, &["query", "DB", "-c", "PUT ID 'a' VECTOR [1, 0]; PUT ID 'b' VECTOR [0, 1]"]);
    let csv = run_ok(path, &["query", "DB", "-c", "SEARCH VECTOR [1, 0] RERANK", "--format", "csv"]);
    assert_eq!(csv.lines().nth(1), Some("0,1,a,1,,,negative"));
    let output = run(path, &["query", "DB", "-c", "SEARCH VECTOR [1, 0] RERANK"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("no train images to vote"));
    let output = run(path, &["query", "DB", "-c", "PREDICT VECTOR [1, 0]"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && said.contains("no train images"), "{said}");
}

#[test]
fn nothing_of_the_users_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    database(path);
    for (card, seed) in [("card1", 2), ("card2", 9)] {
        std::fs::create_dir(path.join(card)).unwrap();
        picture(seed).save(path.join(card).join("IMG_0001.png")).unwrap();
    }
    run_ok(path, &["ingest", "DB", "card1", "--as", "index"]);
    // Another camera's first photo is another photo.
    let said = refused(path, &["ingest", "DB", "card2", "--as", "index"], 1);
    assert!(said.contains("card1") && said.contains("IMG_0001.png"), "{said}");
    // The same file with new content replaces what it was; a list's id replaces what it names.
    picture(5).save(path.join("card1/IMG_0001.png")).unwrap();
    let replaced = |words: &[&str]| String::from_utf8(run(path, words).stderr).unwrap();
    assert!(replaced(&["ingest", "DB", "card1", "--as", "index"]).contains("replaced 1"));
    std::fs::write(path.join("list.csv"), "id,path\nmine,card1/IMG_0001.png\n").unwrap();
    run_ok(path, &["ingest", "DB", "list.csv", "--as", "index"]);
    std::fs::write(path.join("list.csv"), "id,path\nmine,card2/IMG_0001.png\n").unwrap();
    assert!(replaced(&["ingest", "DB", "list.csv", "--as", "index"]).contains("replaced 1"));

    // A report is never written over a photo.
    let photo = std::fs::read(path.join("card1/IMG_0001.png")).unwrap();
    for target in ["card1/IMG_0001.png", "DB/catalog/CURRENT"] {
        let statement = format!("SEARCH 'card1/IMG_0001.png' INTO '{target}'");
        refused(path, &["query", "DB", "-c", &statement], 1);
    }
    std::fs::write(path.join("notes.html"), "<p>mine</p>").unwrap();
    refused(path, &["query", "DB", "-c", "SEARCH 'card1/IMG_0001.png' INTO 'notes.html'"], 1);
    assert_eq!(std::fs::read_to_string(path.join("notes.html")).unwrap(), "<p>mine</p>");
    assert_eq!(std::fs::read(path.join("card1/IMG_0001.png")).unwrap(), photo);
    for _ in 0..2 {
        run_ok(path, &["query", "DB", "-c", "SEARCH 'card1/IMG_0001.png' INTO 'report.html'"]);
    }
    assert!(std::fs::read_to_string(path.join("report.html")).unwrap().contains("IMG_0001.png"));
}

#[test]
fn a_pipe_among_the_photos_is_named_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    database(path);
    std::fs::create_dir(path.join("photos")).unwrap();
    picture(3).save(path.join("photos/good.png")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(path.join("photos/pipe.jpg")).status().unwrap();
    assert!(made.success());
    let output = run(path, &["ingest", "DB", "photos", "--as", "index"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("pipe.jpg") && said.contains("added 1"), "{said}");
}

#[test]
fn a_catalog_with_missing_files_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["CURRENT", "MANIFEST"] {
        run_ok(folder.path(), &["create", file, "--dim", "2"]);
        run_ok(folder.path(), &["query", file, "-c", "PUT ID 'a' VECTOR [1, 0]"]);
        for entry in std::fs::read_dir(folder.path().join(file).join("catalog")).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with(file) {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        let said = refused(folder.path(), &["status", file], 3);
        assert!(said.contains("help:") && !said.contains("acknowledged writes are kept"), "{said}");
    }
}

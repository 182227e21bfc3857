//! RECOGNIZE and SEARCH with VERIFY as people and scripts type them, on bare vectors and on photos.
//!
//! It catches: an answer without its terms or its images, an unknown photo that is named, a row of a program's answer that a script cannot
//! read, bad input that is answered, a page without its lines, a query that cannot run and ends the others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use cairndb_tests::{lines, outcome, run_ok, shared, tree, write_npy};

#[test]
fn vectors_are_recognised_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_ok(path, &["create", "DB", "--dim", "2"]);
    let nobody = run_ok(path, &["query", "DB", "-c", "RECOGNIZE VECTOR [1, 0]"]);
    assert_eq!(nobody, "vector: nothing known: the database has no train images\n");
    let csv = run_ok(path, &["query", "DB", "-c", "RECOGNIZE VECTOR [1, 0]", "--format", "csv"]);
    assert_eq!(csv.lines().nth(1), Some("0,,no train images,,,,,,,,"));
    let put = "PUT ID 'a' VECTOR [1, 0] LABEL 'x=1'; PUT ID 'b' VECTOR [0.6, 0.8] LABEL 'y'; PUT ID 'c' VECTOR [0, 1] LABEL 'y'";
    run_ok(path, &["query", "DB", "-c", put]);

    let (text, said, code) = outcome(path, &["query", "DB", "-c", "RECOGNIZE VECTOR [1, 0]"]);
    assert!(text.starts_with("vector: x=1 (score 1.0000: similarity 1.0000)\n"), "{text}");
    assert!(text.contains("image_label") && !text.contains("inliers"), "{text}");
    assert!(code == Some(0) && said.contains("too few") && said.contains("MIN SCORE"), "{said}");
    let (text, said, _) = outcome(path, &["query", "DB", "-c", "RECOGNIZE VECTOR [1, 0] n=1 MIN SCORE 1.5"]);
    let unknown = "vector: nothing known (the near train images elect x=1, but its score 1.0000 is below 1.5000: similarity 1.0000)\n";
    assert!(text.starts_with(unknown) && said.is_empty(), "{text}{said}");
    let csv = run_ok(path, &["query", "DB", "-c", "RECOGNIZE ID 'b' n=2 MIN SCORE 0", "--format", "csv"]);
    assert_eq!(
        csv,
        "query,label,answer,score,similarity_term,inlier_term,rank,image,image_label,similarity,inliers\n\
         0,y,known,0.6,0.6,,1,c,y,0.8,\n0,y,known,0.6,0.6,,2,a,x=1,0.6,\n"
    );

    // A query that cannot run does not end the others, and one label for many is a distractor's.
    write_npy(path, "q.npy", &[[1.0, 0.0], [0.0, 0.0], [0.9, 0.1], [0.1, 1.0]]);
    let text = "RECOGNIZE QUERIES 'q.npy' n=1 MIN SCORE 0 DISTRACTORS 1";
    let (rows, said, code) = outcome(path, &["query", "DB", "-c", text, "-c", "SHOW LABELS", "--format", "csv"]);
    let starts = ["0,x=1,distractor,-2,", "2,x=1,distractor,-2,", "3,y,known,0.99"];
    assert!(rows.lines().skip(1).zip(starts).all(|(row, start)| row.starts_with(start)), "{rows}");
    assert!(
        rows.ends_with("y,2\n") && code == Some(5) && said.contains("1 of 4 queries could not run"),
        "{rows}{said}"
    );
    let (text, ..) = outcome(path, &["query", "DB", "-c", text]);
    assert!(text.contains("query 0: nothing known (x=1 is elected for 2 queries"), "{text}");

    // A page, over nothing but an earlier page.
    let before = tree(&path.join("DB"));
    let into = "RECOGNIZE QUERIES 'q.npy' INTO 'r.html'";
    let (text, said, code) = outcome(path, &["query", "DB", "-c", into]);
    assert!(code == Some(5) && said.contains("report: ") && !text.contains("image_label"), "{text}{said}");
    let page = std::fs::read_to_string(path.join("r.html")).unwrap();
    assert!(page.contains("Recognition: 3 photos") && page.contains("not compared"), "{page}");
    std::fs::write(path.join("mine.html"), "mine").unwrap();
    let (_, said, code) = outcome(path, &["query", "DB", "-c", "RECOGNIZE ID 'a' INTO 'mine.html'"]);
    assert!(code == Some(1) && std::fs::read(path.join("mine.html")).unwrap() == b"mine", "{said}");
    assert_eq!(tree(&path.join("DB")), before, "it only reads");
}

#[test]
fn bad_recognitions_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_ok(path, &["create", "DB", "--dim", "2"]);
    run_ok(path, &["query", "DB", "-c", "PUT ID 'a' VECTOR [1, 0] LABEL 'x'"]);
    for (text, says) in [
        ("RECOGNIZE ID 'nobody'", "does not exist"),
        ("RECOGNIZE VECTOR [1, 0, 0]", "dimension"),
        ("RECOGNIZE 'photo.jpg'", "has no model"),
        ("RECOGNIZE ID 'a' n=0", "n must be at least 1"),
        ("RECOGNIZE ID 'a' DISTRACTORS 3", "many queries"),
        ("RECOGNIZE ID 'a' MIN SCORE nan", "a finite number"),
        ("RECOGNIZE ID 'a' RERANK", "no clause RERANK"),
        ("SEARCH ID 'a' VERIFY 101", "VERIFY 101 is more than K"),
        ("SEARCH ID 'a' VERIFY", "a whole number is missing"),
    ] {
        let (rows, said, code) = outcome(path, &["query", "DB", "-c", text]);
        assert!(code == Some(1) && rows.is_empty() && said.contains(says) && said.contains("help:"), "{text}: {said}");
    }
    let (_, said, code) = outcome(path, &["query", "DB", "-c", "RECOGNIZE QUERIES 'no.npy'"]);
    assert!(code == Some(1) && said.contains("no.npy: No such file"), "{said}");
    let plan = run_ok(path, &["query", "DB", "-c", "EXPLAIN RECOGNIZE 'photo.jpg' VERIFY MIN SCORE 0.9"]);
    assert!(plan.contains("min(70, inliers) / 70") && plan.contains("below 0.9 (MIN SCORE): nothing known"), "{plan}");
}

/// A part of a photo is recognised by the lines between it and the whole.
#[test]
fn a_part_of_a_photo_is_recognised_and_found_by_its_inliers() {
    let Some(landmarks) = shared("photos/landmarks") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut seen = std::collections::HashSet::new();
    let rows: Vec<Vec<String>> = lines(&landmarks.join("train.csv"))
        .into_iter()
        .skip(1)
        .map(|row| row.split(',').map(str::to_owned).collect::<Vec<_>>())
        .filter(|row| seen.insert(row[2].clone()))
        .take(6)
        .collect();
    let photo = |row: &[String]| landmarks.join(&row[1]).display().to_string();
    let train: String = rows.iter().map(|row| format!("{},{},{}\n", row[0], photo(row), row[2])).collect();
    std::fs::write(path.join("train.csv"), format!("id,path,label\n{train}")).unwrap();
    let index: String = rows.iter().map(|row| format!("i-{},{}\n", row[0], photo(row))).collect();
    std::fs::write(path.join("index.csv"), format!("id,path\n{index}")).unwrap();
    run_ok(path, &["create", "DB", "--model", "lite0-gem"]);
    run_ok(path, &["ingest", "DB", "train.csv", "--as", "train"]);
    run_ok(path, &["ingest", "DB", "index.csv", "--as", "index"]);
    let whole = image::open(photo(&rows[3])).unwrap();
    let (width, height) = (whole.width(), whole.height());
    whole
        .crop_imm(width / 8, height / 8, width * 3 / 4, height * 3 / 4)
        .into_rgb8()
        .save(path.join("part.jpg"))
        .unwrap();

    let statement = "RECOGNIZE 'part.jpg' VERIFY INTO 'r.html'; SEARCH 'part.jpg' VERIFY 6 RETURN id, inliers";
    let (text, said, code) = outcome(path, &["query", "DB", "-c", statement, "--format", "csv"]);
    assert_eq!(code, Some(0), "{said}");
    let recognised: Vec<&str> = text.lines().nth(1).unwrap().split(',').collect();
    assert_eq!(recognised[1], rows[3][2], "{text}");
    let inliers = |cell: &str| cell.parse::<u32>().unwrap();
    assert!(inliers(recognised[10]) >= 70, "{text}");
    assert!(recognised[5].parse::<f64>().unwrap() >= 1.0, "the inlier term: {text}");
    assert!(said.contains("compared by 3 photo files") && said.contains("photo files read: 3: below"), "{said}");
    let found: Vec<&str> = text.lines().skip_while(|line| *line != "id,inliers").nth(1).unwrap().split(',').collect();
    assert!(found[0] == format!("i-{}", rows[3][0]) && inliers(found[1]) >= 70, "{text}");
    let page = std::fs::read_to_string(path.join("r.html")).unwrap();
    assert!(page.contains("matching points of both photos") && page.contains("<line "), "the lines are drawn");
    assert!(!page.contains(&landmarks.display().to_string()), "a page has no path of the machine");
}

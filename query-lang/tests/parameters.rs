//! Positional parameters in the places of texts and numbers: typed, checked as if they had been typed there, and printed as they were.
//!
//! It catches: a place that takes no parameter, a value that gets past the range of its place, text of an application that is read as
//! language, a diagnostic that does not say which parameter and what it must be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use cairndb_query::{Binding, Diagnostic, Names, check, fill, parse};

fn filled(text: &str, values: &[Binding]) -> Result<String, Diagnostic> {
    let parsed = parse(text);
    assert!(parsed.diagnostics.is_empty(), "{}", parsed.diagnostics.first().unwrap().render(text));
    let statement = parsed.statements.first().unwrap();
    assert_eq!(statement.node.to_string(), text, "it is printed as it was typed");
    let filled = fill(statement, values)?;
    check(&filled.node, &Names { positional: values.len(), named: Vec::new() })?;
    Ok(filled.node.to_string())
}

/// Every place of a text or a number, and what stands there once the value is in it. `'; DROP` would end the text if it were spliced in.
#[test]
fn every_text_and_number_can_be_bound() {
    let hostile = Binding::Text("x'; DELETE ID 'a".to_owned());
    let texts = [
        "PUT ID $1 'a.jpg'",
        "PUT ID 'a' 'a.jpg' LABEL $1",
        "DELETE ID $1",
        "LABEL ID $1 AS 'x'",
        "LABEL ID 'a' AS $1",
        "UNLABEL ID $1",
        "SEARCH ID $1",
        "SEARCH QUERIES $1",
        "SEARCH a WHERE label = $1",
        "SEARCH a WHERE instance LIKE $1",
        "SEARCH a WHERE path = $1",
        "SEARCH a WHERE id = $1",
        "SEARCH a WHERE split = 'train' AND id LIKE $1",
        "SEARCH a INTO $1 OVERWRITE",
        "PREDICT ID $1",
        "TRAIN FROM $1",
        "REEMBED FROM $1",
        "CLEAN INTO $1",
        "BACKUP TO $1",
        "BACKUP VERIFY $1",
        "BACKUP RESTORE $1 TO 'b'",
        "BACKUP RESTORE 'b' TO $1",
        "EXPLAIN ANALYZE DELETE ID $1",
    ];
    for text in texts {
        let expected = text.replace("$1", "'x''; DELETE ID ''a'");
        assert_eq!(filled(text, std::slice::from_ref(&hostile)).as_deref(), Ok(expected.as_str()));
        for wrong in [Binding::Whole(3), Binding::Number(0.5), Binding::Image] {
            assert_eq!(filled(text, &[wrong]).map_err(|error| error.code()), Err("parameter-value"), "{text}");
        }
        assert_eq!(filled(text, &[]).map_err(|error| error.code()), Err("unbound-parameter"), "{text}");
    }
    let wholes = [
        ("SEARCH a K $1", 1, 1_000_000),
        ("SEARCH a LIMIT $1", 1, 100),
        ("SEARCH a EF $1", 1, 1_000_000),
        ("SEARCH a RERANK k=$1", 1, 1_000),
        ("SEARCH a SINCE SEQ $1", 0, u64::MAX),
        ("PREDICT a k=$1", 1, 1_000),
        ("SHOW CLEAN $1", 0, u64::MAX),
        ("SHOW SUSPECTS LIMIT $1", 1, 1_000_000),
        ("USE MODEL $1", 0, u64::MAX),
        ("DROP MODEL $1 FORCE", 0, u64::MAX),
        ("TRAIN dim=$1", 2, 4096),
        ("TRAIN loss=arcface epochs=$1", 1, 10_000),
        ("TRAIN loss=arcface batch=$1", 2, 4096),
        ("TRAIN seed=$1", 0, u64::MAX),
        ("TRAIN epochs=9 TRUNK scaleup=$1", 0, 9),
        ("TRAIN FROM MODEL $1", 0, u64::MAX),
        ("CLEAN nn=$1", 3, 10_000),
        ("CLEAN neighbours=$1", 4, 1000),
        ("CLEAN inliers=$1", 3, 1000),
        ("CLEAN freq=$1", 1, 99),
        ("CLEAN RULE suspects top=$1", 1, 1_000_000),
    ];
    for (text, least, most) in wholes {
        for number in [least, most] {
            let expected = text.replace("$1", &number.to_string());
            assert_eq!(filled(text, &[Binding::Whole(number)]).as_deref(), Ok(expected.as_str()));
        }
        let outside = [least.checked_sub(1), most.checked_add(1)].into_iter().flatten().map(Binding::Whole);
        let others = [Binding::Number(5.0), Binding::Text("5".to_owned()), Binding::Key("5".to_owned())];
        for wrong in outside.chain(others) {
            assert!(filled(text, std::slice::from_ref(&wrong)).is_err(), "{text}: {wrong:?}");
        }
    }
    let numbers = [
        ("SEARCH a RERANK tau=$1", -2.0, 2.0, true),
        ("TRAIN loss=arcface rate=$1", 0.0, 10.0, false),
        ("TRAIN loss=arcface margin=$1", 0.0, 1.5, true),
        ("TRAIN loss=arcface scale=$1", 0.0, 1000.0, false),
        ("TRAIN validation=$1", 0.0, 0.9, true),
        ("CLEAN RULE suspects evidence=$1", 0.0, 1.0, true),
    ];
    for (text, least, most, with_least) in numbers {
        assert_eq!(filled(text, &[Binding::Number(least)]).is_ok(), with_least, "{text}");
        assert!(
            filled(text, &[Binding::Number(most)]).is_ok() && filled(text, &[Binding::Number(0.5)]).is_ok(),
            "{text}"
        );
        for wrong in [least - 0.1, most + 0.1, f64::NAN, f64::INFINITY] {
            assert!(filled(text, &[Binding::Number(wrong)]).is_err(), "{text}: {wrong}");
        }
    }
}

#[test]
fn what_two_values_contradict_each_other_in_is_told_when_they_are_there() {
    let whole = |number| Binding::Whole(number);
    let code = |text: &str, values: &[Binding]| filled(text, values).map_err(|error| error.code());
    assert!(code("SEARCH a K $1 LIMIT $2", &[whole(5), whole(5)]).is_ok());
    assert_eq!(code("SEARCH a K $1 LIMIT $2", &[whole(5), whole(6)]), Err("limit-above-depth"));
    assert_eq!(code("SEARCH a LIMIT $1", &[whole(101)]), Err("limit-above-depth"));
    assert_eq!(code("CLEAN neighbours=$1 freq=$2", &[whole(5), whole(5)]), Err("freq-above-neighbours"));
    assert_eq!(code("TRAIN epochs=$1 TRUNK scaleup=$2", &[whole(5), whole(6)]), Err("scaleup-above-epochs"));
}

#[test]
fn a_key_is_a_key_a_text_is_a_text_and_an_image_is_neither() {
    let (key, text) = (Binding::Key("a".to_owned()), Binding::Text("a".to_owned()));
    let is_ok = |statement: &str, value: &Binding| filled(statement, std::slice::from_ref(value)).is_ok();
    for statement in ["DELETE ID $1", "SEARCH ID $1", "SEARCH a WHERE id = $1"] {
        assert!(is_ok(statement, &key) && is_ok(statement, &text), "{statement}");
    }
    for statement in ["LABEL ID 'b' AS $1", "SEARCH a WHERE label = $1", "BACKUP TO $1"] {
        assert!(!is_ok(statement, &key) && is_ok(statement, &text), "{statement}");
    }
    for statement in ["SEARCH $1", "PREDICT $1", "PUT ID 'b' $1"] {
        assert!(is_ok(statement, &Binding::Image) && !is_ok(statement, &text), "{statement}");
    }
    // A value of a condition may be empty, a name may not.
    let empty = Binding::Text(String::new());
    assert!(is_ok("SEARCH a WHERE label = $1", &empty));
    assert!(!is_ok("LABEL ID 'b' AS $1", &empty) && !is_ok("PUT ID $1 'a.jpg'", &empty));
    let split = |value: &str| filled("SEARCH a WHERE split = $1", &[Binding::Text(value.to_owned())]);
    assert_eq!(split("TRAIN").as_deref(), Ok("SEARCH a WHERE split = 'train'"));
    assert!(split("foo").is_err());
    let error = filled("SEARCH $1 K $2", &[Binding::Image, Binding::Text("many".to_owned())]).unwrap_err();
    assert_eq!(error.message(), "$2 stands for K and must be a whole number from 1 to 1000000, not the text 'many'");
}

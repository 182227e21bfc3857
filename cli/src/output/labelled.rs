//! What PUT, LABEL and UNLABEL did to an image's label: what it replaced, whether it is a new one, whether an image left the
//! index.

use std::io::Write;

use cairn::Role;
use cairn::reports::Labelled;

use super::cell::Cell;
use super::escape::visible;
use super::printer::{Format, Printer};
use super::receipt::print_receipt;
use super::words::{role_word, yes_or_no};
use crate::failure::Result;

/// Writes it: sentences for people; for programs the columns of every write, then those of the label.
///
/// # Errors
/// When the output cannot be written.
pub(super) fn print_labelled(out: &mut dyn Write, format: Format, labelled: &Labelled) -> Result<()> {
    if format.is_for_people() {
        print_receipt(out, format, &labelled.receipt)?;
        for line in sentences(labelled) {
            writeln!(out, "{line}")?;
        }
        return Ok(());
    }
    let columns = [
        "sequence",
        "images_changed",
        "predictions_changed",
        "deferred",
        "id",
        "split_before",
        "split",
        "label_before",
        "label",
        "new_label",
        "nearest_label",
    ];
    let Labelled { receipt, key, role_before, label_before, label, is_new_label, nearest, .. } = labelled;
    let mut printer = Printer::begin(out, format, &columns)?;
    printer.row(vec![
        Cell::Whole(receipt.sequence),
        Cell::Whole(receipt.images_changed as u64),
        Cell::Whole(receipt.predictions_changed as u64),
        yes_or_no(receipt.deferred),
        Cell::Text(key.clone()),
        Cell::text(role_before.map(role_word)),
        Cell::Text(role_word(labelled.role()).to_owned()),
        Cell::text(label_before.clone()),
        Cell::text(label.clone()),
        yes_or_no(*is_new_label),
        Cell::text(nearest.clone()),
    ])?;
    Ok(printer.end()?)
}

fn sentences(labelled: &Labelled) -> Vec<String> {
    let Labelled { key, role_before, label_before, label, is_new_label, nearest, .. } = labelled;
    let key = visible(key);
    let mut lines = Vec::new();
    match (role_before, label_before.as_deref().map(visible), label.as_deref().map(visible)) {
        (Some(_), Some(before), Some(now)) if before == now => {
            lines.push(format!("'{key}' already had the label '{now}'; it now counts as set by hand"));
        }
        (Some(_), Some(before), Some(now)) => {
            lines.push(format!("the label of '{key}' changed from '{before}' to '{now}'"))
        }
        (Some(_), Some(before), None) => {
            lines.push(format!("the label '{before}' of '{key}' was removed: it is an index image now"));
        }
        (Some(Role::Index), None, Some(now)) => {
            lines.push(format!("'{key}' left the index: it is a train image with the label '{now}' now"));
        }
        // A new image, or one that was and is an index image.
        _ => {}
    }
    if let (Some(label), true) = (label.as_deref().map(visible), is_new_label) {
        let nearest = nearest.as_deref().map(visible);
        let nearest = nearest.map_or(String::new(), |nearest| format!("; the most similar one is '{nearest}'"));
        lines.push(format!("'{label}' is a new label{nearest}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn::Receipt;

    #[test]
    fn what_happens_to_a_label_is_said() {
        let labelled = |role, before: Option<&str>, now: Option<&str>| {
            let mut labelled = Labelled::default();
            labelled.receipt = Receipt::default();
            labelled.key = "k".to_owned();
            labelled.role_before = role;
            labelled.label_before = before.map(str::to_owned);
            labelled.label = now.map(str::to_owned);
            labelled.is_new_label = now == Some("Louvr");
            labelled.nearest = (now == Some("Louvr")).then(|| "Louvre".to_owned());
            labelled
        };
        let (train, index) = (Some(Role::Train), Some(Role::Index));
        for (labelled, said) in [
            (labelled(train, Some("a"), Some("b")), &["the label of 'k' changed from 'a' to 'b'"][..]),
            (labelled(train, Some("a"), Some("a")), &["'k' already had the label 'a'; it now counts as set by hand"]),
            (labelled(train, Some("a"), None), &["the label 'a' of 'k' was removed: it is an index image now"]),
            (labelled(index, None, Some("a")), &["'k' left the index: it is a train image with the label 'a' now"]),
            (labelled(index, None, None), &[]),
            (labelled(None, None, Some("Louvr")), &["'Louvr' is a new label; the most similar one is 'Louvre'"]),
        ] {
            assert_eq!(sentences(&labelled), said, "{labelled:?}");
        }
    }
}

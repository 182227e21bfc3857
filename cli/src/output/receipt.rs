//! The result of a write.

use std::io::Write;

use cairn::Receipt;

use super::cell::Cell;
use super::printer::{Format, Printer};
use super::words::{counted, yes_or_no};
use crate::failure::Result;

pub(super) fn print_receipt(out: &mut dyn Write, format: Format, receipt: &Receipt) -> Result<()> {
    if !format.is_for_people() {
        let columns = ["sequence", "images_changed", "predictions_changed", "deferred"];
        let mut printer = Printer::begin(out, format, &columns)?;
        printer.row(vec![
            Cell::Whole(receipt.sequence),
            Cell::Whole(receipt.images_changed as u64),
            Cell::Whole(receipt.predictions_changed as u64),
            yes_or_no(receipt.deferred),
        ])?;
        return Ok(printer.end()?);
    }
    if receipt.deferred {
        return Ok(writeln!(
            out,
            "accepted as sequence {} and deferred, because it or an earlier write changes many predictions; the database applies it in the \
             background (SHOW STALE; SEARCH .. FRESH waits for it)",
            receipt.sequence
        )?);
    }
    Ok(writeln!(
        out,
        "{} changed, {} changed (sequence {})",
        counted(receipt.images_changed, "image"),
        counted(receipt.predictions_changed, "prediction"),
        receipt.sequence
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deferred_write_is_not_taken_for_one_that_changed_nothing() {
        let receipt = {
            let mut receipt = Receipt::default();
            receipt.sequence = 4;
            receipt.deferred = true;
            receipt
        };
        let printed = |format| {
            let mut out = Vec::new();
            print_receipt(&mut out, format, &receipt).unwrap();
            String::from_utf8(out).unwrap()
        };
        let people = printed(Format::Table);
        assert!(people.contains("sequence 4") && people.contains("FRESH") && !people.contains("0 images"), "{people}");
        assert_eq!(printed(Format::Csv).lines().last(), Some("4,0,0,yes"));
    }
}

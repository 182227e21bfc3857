//! `cairn check`, `cairn backup`, `cairn restore`, `cairn repair`: the commands that keep a database sound.

use std::io::Write as _;

use cairn::reports::Repaired;
use cairn::{Database, Outcome};

use crate::args::{Backup, Check, Opened, Repair, Restore};
use crate::failure::{Failure, Result};
use crate::output::{must_be_outside, print_outcome};
use crate::session::{must_be_sound, open};
use crate::terminal::{say, standard_output};

/// Checks everything that is stored.
///
/// # Errors
/// When the database cannot be opened, or something is wrong.
pub(super) fn check(args: &Check) -> Result<()> {
    let database = open(&args.opened)?;
    let outcome = Outcome::Checked(database.check(args.deep)?);
    let mut out = standard_output();
    print_outcome(&mut out, args.format, &outcome)?;
    out.flush()?;
    must_be_sound(&outcome)
}

/// Copies a database, or verifies a copy.
///
/// # Errors
/// When a folder cannot be read or written, or the backup is damaged.
pub(super) fn backup(args: &Backup) -> Result<()> {
    let text = match (&args.verify, &args.database, &args.folder) {
        (Some(folder), ..) => format!("{} is sound: {}", folder.display(), Database::verify_backup(folder)?),
        (None, Some(database), Some(folder)) => {
            must_be_outside(folder)?;
            let opened = Opened { database: database.clone(), read_only: false };
            let copied = open(&opened)?.backup(folder)?;
            format!("backed up {copied} to {}", folder.display())
        }
        _ => return Err(Failure::usage("name the database and the folder of the backup")),
    };
    Ok(say(&text)?)
}

/// Creates a database from a backup.
///
/// # Errors
/// When the backup is damaged or the folder is neither new nor empty.
pub(super) fn restore(args: &Restore) -> Result<()> {
    must_be_outside(&args.database)?;
    let copied = Database::restore_backup(&args.backup, &args.database)?;
    Ok(say(&format!("restored {copied} to {}", args.database.display()))?)
}

/// Makes a database usable again and reports what it lost.
///
/// # Errors
/// When another process holds it, or not even its options can be read; with exit code `Corrupt` when something was lost.
pub(super) fn repair(args: &Repair) -> Result<()> {
    let repaired = match args.accept_loss {
        true => Database::repair_at_any_loss(&args.database)?,
        false => Database::repair(&args.database)?,
    };
    for line in &repaired.lines {
        say(line)?;
    }
    say(&format!("repaired; to check it: cairn check {} --deep", args.database.display()))?;
    if !repaired.has_lost() {
        return Ok(());
    }
    Err(Failure::corrupt(losses(&repaired))
        .help("the database can be used; restore a backup or ingest again to get back what is lost"))
}

/// The losses of a repair, in words.
fn losses(repaired: &Repaired) -> String {
    let Repaired { kept_images, dropped_images, dropped_labels, dropped_writes, unreadable_places, .. } = repaired;
    let mut lost = Vec::new();
    if *dropped_images > 0 {
        lost.push(format!("{dropped_images} of {} images", kept_images + dropped_images));
    }
    if *dropped_labels > 0 {
        lost.push(format!("the texts of {dropped_labels} labels"));
    }
    if *dropped_writes > 0 {
        lost.push(format!("{dropped_writes} acknowledged writes"));
    }
    let mut told = Vec::new();
    if !lost.is_empty() {
        told.push(format!("the repair lost {}", lost.join(", ")));
    }
    if *unreadable_places > 0 {
        told.push(format!(
            "it skipped {unreadable_places} unreadable places of the catalog; entries that were only there are lost"
        ));
    }
    told.join("; ")
}

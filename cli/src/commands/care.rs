//! `cairn check`, `cairn backup`, `cairn restore`, `cairn repair`: what keeps a database sound over the years.

use std::io::Write as _;

use cairn::{Database, Outcome, Repaired};

use crate::args::{Backup, Check, Opened, Repair, Restore};
use crate::failure::{Failure, Result};
use crate::output::{must_be_outside, print_outcome};
use crate::session::{must_be_sound, open};
use crate::terminal::{say, standard_output};

/// Looks at everything that is stored.
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

/// Makes a database of a backup.
///
/// # Errors
/// When the backup is damaged or the folder is not free.
pub(super) fn restore(args: &Restore) -> Result<()> {
    must_be_outside(&args.database)?;
    let copied = Database::restore_backup(&args.backup, &args.database)?;
    Ok(say(&format!("restored {copied} to {}", args.database.display()))?)
}

/// Makes a database usable again and tells how.
///
/// # Errors
/// When another process holds it, or not even its options can be read; when something was lost, as corrupt.
pub(super) fn repair(args: &Repair) -> Result<()> {
    let repaired = match args.accept_loss {
        true => Database::repair_at_any_loss(&args.database)?,
        false => Database::repair(&args.database)?,
    };
    for line in &repaired.lines {
        say(line)?;
    }
    say(&format!("repaired; look at it with: cairn check {} --deep", args.database.display()))?;
    if !repaired.has_lost() {
        return Ok(());
    }
    Err(Failure::corrupt(losses(&repaired))
        .help("the database can be used; what is gone comes back from a backup, or by putting it in again"))
}

/// What a repair lost, in words.
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
            "it passed over {unreadable_places} unreadable places of the catalog, and what lay only there is lost"
        ));
    }
    told.join("; ")
}

//! Which train labels look wrong, and how does one undo a cleaning? Suspects are ranked by the evidence of their neighbours; a
//! cleaning is one transaction. Run: `cargo run --workspace --example cleaning_with_undo`.
#![allow(clippy::unwrap_used, reason = "an example stops at the first surprise")]

use cairn::language::{Action, CleanPlan, CleanRule, Cut};
use cairn::{Database, Options, Put};

fn main() -> cairn::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("places.db"), Options::for_vectors(2))?;
    // Six towers, one of which a list calls a dome, and six domes.
    let tower = |n: usize| {
        let label = if n == 0 { "dome" } else { "tower" };
        Put::new(format!("t{n}"), [1.0, 0.02 * n as f32]).label(label).into()
    };
    let dome = |n: usize| Put::new(format!("d{n}"), [0.02 * n as f32, 1.0]).label("dome").into();
    database.write((0..6).map(tower).chain((0..6).map(dome)))?;
    let rule = CleanRule::Suspects(Cut::Top(1));
    let look = CleanPlan::default().rule(rule).action(Action::Relabel).dry_run(true);
    for judged in database.clean(&look, None, None)?.judged {
        println!("{} has the label {}: {:?}", judged.key, judged.label, judged.judgement);
    }
    let cleaning = database.clean(&look.dry_run(false), None, None)?;
    let label = |key: &str| database.snapshot().record(key).map(|record| record.and_then(|record| record.label));
    println!("cleaning {:?} changed {} image; t0 is a {:?}", cleaning.number, cleaning.found, label("t0")?);
    database.undo_cleaning()?;
    println!("after the undo t0 is a {:?}", label("t0")?);
    Ok(())
}

//! R1: SIGKILL at random moments of a mixed load. No acknowledged write is lost, no transaction is half applied, every prediction
//! equals a recompute, no file is left over.
//!
//! The load cleans labels by their neighbours and undoes that with the next write; a kill between the two leaves as many labels
//! changed as the log of cleanings says, and the undo restores all of them.
//!
//! It catches: a cleaning half applied, or in the log without its labels; a commit without `set_sync` is NOT caught here (the
//! page cache survives SIGKILL; R3 is for that); a transaction split into two batches, the sequence number in a separate batch, a
//! deferred transaction removed from the log before it is applied, `remove_orphans` removed, a segment named before its
//! tombstones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use cairndb_storage_tests::{Guarded, Random, Stream, load, many, said, survives, wait_until};

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    const SEED: u64 = 11;
    let folder = tempfile::tempdir().unwrap();
    let (path, words) = (folder.path().join("db"), folder.path().join("words"));
    drop(cairndb_storage_tests::create(&path, cairndb_storage_tests::DIMENSION));
    let mut stream = Stream::new(SEED);
    let mut random = Random::new(SEED);
    let (mut unacknowledged, mut at_rest) = (0, 0);
    let kills = many(25, 1000);
    for kill in 0..kills {
        let story = format!("kill {kill}");
        let out = std::fs::File::create(&words).unwrap();
        let arguments = [SEED.to_string(), stream.next.to_string()];
        let mut child =
            Guarded(load().arg("load").arg(&path).args(arguments).arg("clean").stdout(out).spawn().unwrap());
        // Some die while they open, most in the middle of the load.
        let most = if random.below(6) == 0 { 40 } else { 400 };
        if most > 40 {
            wait_until("the opening", || std::fs::read_to_string(&words).unwrap().starts_with("open\n"));
        }
        std::thread::sleep(Duration::from_millis(random.below(most) as u64));
        assert!(child.0.try_wait().unwrap().is_none(), "{story}: the load ended by itself");
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        let said = said(&words, stream.next - 1);
        let before = stream.next;
        survives(&path, &mut stream, &said, &story);
        unacknowledged += u64::from(stream.next - 1 > said.acknowledged);
        at_rest += u64::from(stream.next == before);
    }
    println!(
        "{kills} kills, {} transactions, {} images at the end; {unacknowledged} writes were stored and not yet acknowledged, \
         {at_rest} kills came before the first write",
        stream.next - 1,
        stream.model.len()
    );
    assert!(stream.next > kills as u64, "the load hardly ran");
}

//! One number for all that a snapshot holds: two databases of the same images, labels and predictions share it.

use super::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::id::ImageId;
use crate::operation::Role;
use crate::vote::Ballot;

/// What it begins with.
const TITLE: &[u8] = b"CAIRN DIGEST 1\n";
/// Says that a text or a prediction follows, or that there is none.
const IS_THERE: [u8; 2] = [0, 1];

impl Snapshot {
    /// A digest of what answers depend on: keys, labels, descriptors and predictions. Two databases
    /// of one digest answer alike. What writes made them, their segments, and what they keep of photos are not in it.
    ///
    /// BLAKE3 of these bytes, numbers in little-endian order: `CAIRN DIGEST 1` and a line feed; u32 the dimension; then for each image, in byte
    /// order of the keys: u32 the length of the key, the key in UTF-8; the label as u8 1, u32 length and UTF-8, or u8 0 for an index image;
    /// the components of the unit descriptor as f32; for an index image the prediction as u8 1, u32 length of the instance, the instance
    /// in UTF-8 and the score as f32, or u8 0 where nobody votes.
    ///
    /// Complexity: reads every key and every descriptor once, a page at a time; bounded memory.
    ///
    /// # Errors
    /// A damaged catalog; `Cancelled`.
    pub fn digest(&self) -> Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(TITLE);
        hasher.update(&length(self.dimension())?);
        for key in self.images().keys() {
            let key = key?;
            let state = &self.state;
            let id = state.pinned.image(&key)?.ok_or_else(|| gone(&key))?;
            text(&mut hasher, &key)?;
            let (role, row) = self.place_of(id).ok_or_else(|| gone(&key))?;
            let set = state.rows(role);
            let ballot = set.instances[row];
            let label = if role == Role::Train { ballot } else { None };
            self.vote_of(&mut hasher, label, false)?;
            set.vector(row)?.iter().for_each(|component| _ = hasher.update(&component.to_le_bytes()));
            if role == Role::Index {
                self.vote_of(&mut hasher, ballot, true)?;
            }
        }
        Ok(*hasher.finalize().as_bytes())
    }

    /// The live row of an image.
    fn place_of(&self, id: ImageId) -> Option<(Role, usize)> {
        Role::ALL.into_iter().find_map(|role| {
            let set = self.state.rows(role);
            set.row_of(id).filter(|&row| set.live[row]).map(|row| (role, row))
        })
    }

    fn vote_of(
        &self,
        hasher: &mut blake3::Hasher,
        ballot: Option<Ballot<crate::id::LabelId>>,
        has_score: bool,
    ) -> Result<()> {
        hasher.update(&[IS_THERE[usize::from(ballot.is_some())]]);
        let Some(ballot) = ballot else { return Ok(()) };
        text(hasher, self.state.label(ballot.label)?)?;
        if has_score {
            hasher.update(&ballot.score.to_le_bytes());
        }
        Ok(())
    }
}

fn gone(key: &str) -> Error {
    Error::corrupt(format!("the key '{key}' leads to no image that is searched"))
}

fn length(number: usize) -> Result<[u8; 4]> {
    let number = u32::try_from(number).map_err(|_| Error::corrupt("a text is longer than any that is stored"))?;
    Ok(number.to_le_bytes())
}

fn text(hasher: &mut blake3::Hasher, text: &str) -> Result<()> {
    hasher.update(&length(text.len())?);
    hasher.update(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use crate::door::Database;
    use crate::operation::{Operation, Put};
    use crate::options::Options;

    /// The bytes as the documentation has them, written down by hand.
    fn by_hand(database: &Database) -> Vec<u8> {
        let snapshot = database.snapshot();
        let mut bytes = b"CAIRN DIGEST 1\n\x02\0\0\0".to_vec();
        let text = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
        };
        for key in snapshot.keys(None).unwrap() {
            let record = snapshot.record(&key).unwrap().unwrap();
            text(&mut bytes, &key);
            bytes.push(u8::from(record.label.is_some()));
            if let Some(label) = &record.label {
                text(&mut bytes, label);
            }
            snapshot.vector(&key).unwrap().unwrap().iter().for_each(|x| bytes.extend(x.to_le_bytes()));
            if record.label.is_none() {
                match snapshot.prediction(&key).unwrap() {
                    None => bytes.push(0),
                    Some(vote) => {
                        bytes.push(1);
                        text(&mut bytes, &vote.instance);
                        bytes.extend(vote.score.to_le_bytes());
                    }
                }
            }
        }
        bytes
    }

    /// It catches: a digest of other bytes than the documented ones; something that answers depend on and that is not in it; a digest
    /// that depends on segments, on the order of the writes or on an image that is gone.
    #[test]
    fn a_digest_is_of_the_documented_bytes_and_of_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let create = |name: &str| Database::create(folder.path().join(name), Options::for_vectors(2)).unwrap();
        let put = |key: &str, x: f32| Put::new(key, [x, 1.0]);
        let database = create("db");
        let digest = || database.snapshot().digest().unwrap();
        let mut seen = vec![digest()];
        for operation in [
            put("b", 0.5).into(),
            put("tower", 1.0).label("tower").into(),
            put("c", 2.0).into(),
            put("c", 3.0).into(),
            Operation::Label { key: "tower".into(), label: "bridge".into() },
            Operation::Label { key: "c".into(), label: "bridge".into() },
            Operation::Unlabel { key: "c".into() },
        ] {
            database.write([operation]).unwrap();
            seen.push(digest());
            assert_eq!(digest(), *blake3::hash(&by_hand(&database)).as_bytes());
        }
        // The last step takes back what the one before it did.
        assert_eq!(seen.pop(), Some(seen[5]));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 7);
        let before = digest();
        database.compact().unwrap();
        assert_eq!(digest(), before);
        let other = create("other");
        let rows = [
            put("c", 3.0).into(),
            put("x", 9.0).into(),
            put("tower", 1.0).label("bridge").into(),
            put("b", 0.5).into(),
        ];
        other.write(rows).unwrap();
        assert_ne!(other.snapshot().digest().unwrap(), before);
        other.write([Operation::Delete { key: "x".into() }]).unwrap();
        assert_eq!(other.snapshot().digest().unwrap(), before);
    }
}

//! The byte layout of the catalog's keys and plain values; no other module knows a byte position.
//!
//! Values are little-endian. Numbers inside a *key* are big-endian, as an exception: RocksDB orders keys by bytes, and only then
//! does a range scan visit ids in order and scores from the best down.

use crate::error::{Error, Result};
use crate::id::{ImageId, LabelId, SpaceId};
use crate::operation::Role;
use crate::vote::Ballot;

/// No database counts so far: a million a second takes 36,000 years. What says more was not counted, and one more might overflow.
pub(crate) const MOST_NUMBER: u64 = 1 << 60;

/// Refuses a number that nobody counted to; `what` names it.
///
/// # Errors
/// `Corrupt`.
pub(crate) fn counted(number: u64, what: &str) -> Result<u64> {
    if number <= MOST_NUMBER {
        return Ok(number);
    }
    Err(Error::corrupt(format!("{what} is {number}, which is too large")))
}

/// The number after another one; `what` names it.
///
/// # Errors
/// `Corrupt`: there is none, because a crafted catalog has the largest number.
pub(crate) fn next_number(number: u64, what: &str) -> Result<u64> {
    counted(number.saturating_add(1), what)
}

fn ordered_u32(value: u32) -> [u8; 4] {
    value.swap_bytes().to_le_bytes()
}

fn ordered_u64(value: u64) -> [u8; 8] {
    value.swap_bytes().to_le_bytes()
}

/// Bytes that sort ascending as the score descends; all finite scores and both zeros are ordered as numbers.
fn descending(score: f32) -> [u8; 4] {
    // `+ 0.0` makes one zero of two, so that equal scores have equal bytes and the external key decides.
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 0x8000_0000 };
    ordered_u32(!ascending)
}

fn score_of(bytes: [u8; 4]) -> f32 {
    let ascending = !u32::from_le_bytes(bytes).swap_bytes();
    f32::from_bits(if ascending >> 31 == 1 { ascending & 0x7fff_ffff } else { !ascending })
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize, what: &str) -> Result<[u8; N]> {
    bytes
        .get(at..at + N)
        .and_then(|slice| slice.try_into().ok())
        .ok_or_else(|| Error::corrupt(format!("{what} is {} bytes long, which is too short", bytes.len())))
}

/// The id in a key.
fn id_at(key: &[u8], at: usize, what: &str) -> Result<ImageId> {
    let number = u64::from_le_bytes(bytes_at(key, at, what)?).swap_bytes();
    counted(number, &format!("the number in {what}")).map(ImageId)
}

/// The number in a key of 8 bytes, whatever it is: for those who can do without its value.
pub(crate) fn raw_number_of_key(key: &[u8]) -> Result<u64> {
    Ok(u64::from_le_bytes(bytes_at(key, 0, "a key")?).swap_bytes())
}

/// Key of `records` and `blobs`.
pub(crate) fn image_key(id: ImageId) -> [u8; 8] {
    ordered_u64(id.0)
}

/// The id in a key of `records`.
pub(crate) fn image_of_key(key: &[u8]) -> Result<ImageId> {
    id_at(key, 0, "an image key")
}

/// Value of `keys` and `by_instance`, and of `meta`'s counters.
pub(crate) fn number(value: u64) -> [u8; 8] {
    value.to_le_bytes()
}

/// A number stored as a value.
///
/// # Errors
/// `Corrupt`: too few bytes, or more than anybody counts to.
pub(crate) fn number_of(value: &[u8]) -> Result<u64> {
    counted(u64::from_le_bytes(bytes_at(value, 0, "a stored number")?), "a stored number")
}

/// The space of a key that is nothing but a space.
pub(crate) fn space_of_key(key: &[u8]) -> Result<SpaceId> {
    match <[u8; 4]>::try_from(key) {
        Ok(bytes) => Ok(SpaceId(u32::from_le_bytes(bytes).swap_bytes())),
        Err(_) => Err(Error::corrupt("a key of a space has a wrong length")),
    }
}

/// Prefix of a space in every derived column family.
pub(crate) fn space_key(space: SpaceId) -> [u8; 4] {
    ordered_u32(space.0)
}

/// Key of `embeddings` and `neighbours`, and prefix of `voters`.
pub(crate) fn space_image_key(space: SpaceId, id: ImageId) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&space_key(space));
    key[4..].copy_from_slice(&ordered_u64(id.0));
    key
}

/// The id in a key of `embeddings`, `neighbours`.
pub(crate) fn image_of_space_key(key: &[u8]) -> Result<ImageId> {
    id_at(key, 4, "a key of a space")
}

/// Key of `voters`: which index image has this train image among its neighbours.
pub(crate) fn voter_key(space: SpaceId, train: ImageId, index: ImageId) -> [u8; 20] {
    let mut key = [0; 20];
    key[..12].copy_from_slice(&space_image_key(space, train));
    key[12..].copy_from_slice(&ordered_u64(index.0));
    key
}

/// The index image in a key of `voters`.
pub(crate) fn index_of_voter_key(key: &[u8]) -> Result<ImageId> {
    id_at(key, 12, "a key of voters")
}

/// Prefix of `predictions` for one k.
pub(crate) fn predictions_prefix(space: SpaceId, k: usize) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&space_key(space));
    key[4..].copy_from_slice(&ordered_u32(k as u32));
    key
}

/// Key of `predictions`.
pub(crate) fn prediction_key(space: SpaceId, k: usize, id: ImageId) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&predictions_prefix(space, k));
    key[8..].copy_from_slice(&ordered_u64(id.0));
    key
}

/// The id in a key of `predictions`.
pub(crate) fn image_of_prediction_key(key: &[u8]) -> Result<ImageId> {
    id_at(key, 8, "a key of predictions")
}

/// Value of `predictions`.
pub(crate) fn prediction(ballot: Ballot<LabelId>) -> [u8; 8] {
    let mut value = [0; 8];
    value[..4].copy_from_slice(&ballot.label.0.to_le_bytes());
    value[4..].copy_from_slice(&ballot.score.to_le_bytes());
    value
}

/// A stored prediction.
pub(crate) fn prediction_of(value: &[u8]) -> Result<Ballot<LabelId>> {
    Ok(Ballot {
        label: LabelId(u32::from_le_bytes(bytes_at(value, 0, "a prediction")?)),
        score: f32::from_le_bytes(bytes_at(value, 4, "a prediction")?),
    })
}

/// Prefix of `by_instance`: the images of one role predicted to be one instance.
pub(crate) fn posting_prefix(space: SpaceId, k: usize, role: Role, label: LabelId) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.extend_from_slice(&predictions_prefix(space, k));
    key.push(match role {
        Role::Train => 0,
        Role::Index => 1,
    });
    key.extend_from_slice(&ordered_u32(label.0));
    key
}

/// Role and label in a key of `by_instance`, behind a prefix of `prefix` bytes that ends with k.
pub(crate) fn role_and_label_of(posting: &[u8], prefix: usize) -> Result<(Role, LabelId)> {
    let role = match bytes_at(posting, prefix, "a posting")? {
        [0] => Role::Train,
        [1] => Role::Index,
        [other] => return Err(Error::corrupt(format!("a posting has the role {other}"))),
    };
    let label = u32::from_le_bytes(bytes_at(posting, prefix + 1, "a posting")?).swap_bytes();
    Ok((role, LabelId(label)))
}

/// Key of `by_instance`: a scan of the prefix gives the best score first, equal scores by external key.
pub(crate) fn posting_key(space: SpaceId, k: usize, role: Role, ballot: Ballot<LabelId>, key: &str) -> Vec<u8> {
    let mut posting = posting_prefix(space, k, role, ballot.label);
    posting.extend_from_slice(&descending(ballot.score));
    posting.extend_from_slice(key.as_bytes());
    posting
}

/// Score and external key in a key of `by_instance`, behind a prefix of `prefix` bytes.
pub(crate) fn posting_of(posting: &[u8], prefix: usize) -> Result<(f32, &str)> {
    let score = score_of(bytes_at(posting, prefix, "a posting")?);
    let key =
        std::str::from_utf8(&posting[prefix + 4..]).map_err(|_| Error::corrupt("a posting's key is not UTF-8"))?;
    Ok((score, key))
}

/// Value of `embeddings`.
pub(crate) fn vector(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Appends a stored vector to `into`.
pub(crate) fn vector_into(value: &[u8], dimension: usize, into: &mut Vec<f32>) -> Result<()> {
    if value.len() != 4 * dimension {
        return Err(Error::corrupt(format!("a vector of dimension {dimension} is stored in {} bytes", value.len())));
    }
    into.extend(value.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
    Ok(())
}

/// Key of `labels` for the text of a label.
pub(crate) fn label_text_key(id: LabelId) -> [u8; 5] {
    let mut key = [b't'; 5];
    key[1..].copy_from_slice(&ordered_u32(id.0));
    key
}

/// The label in a key of `labels`.
pub(crate) fn label_of_text_key(key: &[u8]) -> Option<LabelId> {
    let number: [u8; 4] = key.strip_prefix(b"t")?.try_into().ok()?;
    Some(LabelId(u32::from_le_bytes(number).swap_bytes()))
}

/// The smallest key that does not start with `prefix`: the upper bound of its range scan.
pub(crate) fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn postings_sort_by_descending_score_then_key(
            (a, b) in (-1.0f32..1.0, -1.0f32..1.0), (x, y) in ("[a-z]{1,4}", "[a-z]{1,4}")
        ) {
            let key = |score, key: &str| posting_key(SpaceId::FIRST, 3, Role::Index, Ballot { label: LabelId(7), score }, key);
            let expected = b.total_cmp(&a).then(x.cmp(&y));
            prop_assert_eq!(key(a, &x).cmp(&key(b, &y)), expected);
            let posting = key(a, &x);
            prop_assert_eq!(posting_of(&posting, 13).unwrap(), (a, x.as_str()));
        }

        #[test]
        fn ids_sort_as_numbers(a in 0..=MOST_NUMBER, b in 0..=MOST_NUMBER) {
            prop_assert_eq!(image_key(ImageId(a)).cmp(&image_key(ImageId(b))), a.cmp(&b));
            prop_assert_eq!(image_of_key(&image_key(ImageId(a))).unwrap(), ImageId(a));
            let key = voter_key(SpaceId(1), ImageId(a), ImageId(b));
            prop_assert_eq!(index_of_voter_key(&key).unwrap(), ImageId(b));
        }

        #[test]
        fn damaged_bytes_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            let _ = (image_of_key(&bytes), index_of_voter_key(&bytes), prediction_of(&bytes), number_of(&bytes));
            let _ = posting_of(&bytes, 13);
            let mut vector = Vec::new();
            prop_assert_eq!(vector_into(&bytes, 3, &mut vector).is_ok(), bytes.len() == 12);
        }
    }

    /// It catches: a counter that is believed and overflows at the next write.
    #[test]
    fn numbers_that_nobody_counted_to_are_refused() {
        for number in [MOST_NUMBER + 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            assert!(number_of(&number.to_le_bytes()).unwrap_err().message().contains(&number.to_string()));
            let id = ImageId(number);
            assert!(
                image_of_key(&image_key(id)).is_err() && image_of_space_key(&space_image_key(SpaceId(1), id)).is_err()
            );
            assert!(index_of_voter_key(&voter_key(SpaceId(1), ImageId(1), id)).is_err());
            assert!(image_of_prediction_key(&prediction_key(SpaceId(1), 3, id)).is_err());
        }
        assert_eq!(number_of(&MOST_NUMBER.to_le_bytes()).unwrap(), MOST_NUMBER);
    }

    #[test]
    fn the_end_of_a_prefix_is_past_all_its_keys() {
        assert_eq!(end_of(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(end_of(&[1, 255]), Some(vec![2]));
        assert_eq!(end_of(&[255, 255]), None);
    }

    #[test]
    fn both_zeros_are_one_score() {
        assert_eq!(descending(0.0), descending(-0.0));
    }
}

//! A stream of transactions that follows from its seed: the process that is killed and the test that watches it need not
//! communicate. Transaction number n is the n-th write of the database, so its number is the database's sequence number.

use std::collections::{BTreeMap, BTreeSet};

use cairn::Operation;

use crate::put;

/// Dimension of the stream's vectors.
pub const DIMENSION: usize = 8;
/// Keys that the stream uses: few, so that images are replaced, relabelled and deleted again and again.
const KEYS: usize = 500;
/// Labels that it uses.
const LABELS: usize = 12;

/// Key -> label and descriptor of unit length: everything a database is.
pub type Model = BTreeMap<String, (Option<String>, Vec<f32>)>;

/// SplitMix64: the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// A number in -1 .. 1.
    pub fn signed(&mut self) -> f32 {
        (self.number() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Puts things into another order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last + 1));
        }
    }
}

/// A direction near the centre of a label.
pub(crate) fn near_centre(label: usize, dimension: usize, noise: f32, random: &mut Random) -> Vec<f32> {
    let mut centre = Random::new(0xc0ffee + label as u64);
    (0..dimension).map(|_| centre.signed() + noise * random.signed()).collect()
}

/// The descriptor as the engine stores it: the norm in f64, each component rounded once, unit vectors as they are.
pub fn unit(vector: &[f32]) -> Vec<f32> {
    let squared: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if (squared - 1.0).abs() < 1e-6 {
        return vector.to_vec();
    }
    vector.iter().map(|&x| (f64::from(x) / squared.sqrt()) as f32).collect()
}

/// Applies a transaction to a model; every operation must be valid.
///
/// # Panics
/// When one is not.
pub fn apply(model: &mut Model, operations: &[Operation]) {
    for operation in operations {
        match operation {
            Operation::Put(put) => {
                model.insert(put.key.clone(), (put.label.clone(), unit(&put.vector)));
            }
            Operation::Delete { key } => assert!(model.remove(key).is_some(), "{key} is not there"),
            Operation::Label { key, label } => model.get_mut(key).unwrap().0 = Some(label.clone()),
            Operation::Unlabel { key } => model.get_mut(key).unwrap().0 = None,
            other => panic!("the stream has no such operation: {other:?}"),
        }
    }
}

/// The stream, and the model after everything before its next transaction.
#[derive(Debug, Clone)]
pub struct Stream {
    seed: u64,
    /// Number of the next transaction, from 1.
    pub next: u64,
    /// What is stored once all before it are.
    pub model: Model,
    /// Numbers that are no transactions of the stream, and leave the model as it is: a cleaning and its undo.
    taken: BTreeSet<u64>,
}

impl Stream {
    /// The stream at its beginning.
    pub fn new(seed: u64) -> Self {
        Self { seed, next: 1, model: Model::new(), taken: BTreeSet::new() }
    }

    /// Numbers that belong to transaction `next`, for one purpose.
    pub fn random(&self, purpose: u64) -> Random {
        Random::new(self.seed.wrapping_mul(1_000_003).wrapping_add(self.next * 64 + purpose))
    }

    /// The next transaction: 1 to 20 operations, each possible when its turn comes.
    pub fn transaction(&self) -> Vec<Operation> {
        let mut random = self.random(0);
        let count = if random.below(3) == 0 { 1 + random.below(20) } else { 1 + random.below(4) };
        let mut there: BTreeMap<String, bool> = BTreeMap::new();
        let mut operations = Vec::with_capacity(count);
        for _ in 0..count {
            let key = format!("k{:03}", random.below(KEYS));
            let exists = there.get(&key).copied().unwrap_or_else(|| self.model.contains_key(&key));
            let label = random.below(LABELS);
            let text = format!("label {label}");
            let choice = random.below(10);
            if !exists || choice < 5 {
                // Some descriptors are equal: ties.
                let noise = if random.below(10) == 0 { 0.0 } else { 0.4 };
                let vector = near_centre(random.below(LABELS), DIMENSION, noise, &mut random);
                let is_train = random.below(3) == 0;
                operations.push(put(&key, is_train.then_some(text.as_str()), &vector));
            } else {
                operations.push(match choice {
                    5 | 6 => Operation::Label { key: key.clone(), label: text },
                    7 => Operation::Unlabel { key: key.clone() },
                    _ => Operation::Delete { key: key.clone() },
                });
            }
            there.insert(key, !matches!(operations.last(), Some(Operation::Delete { .. })));
        }
        operations
    }

    /// The next transaction is stored.
    pub fn advance(&mut self) {
        if !self.taken.contains(&self.next) {
            let operations = self.transaction();
            apply(&mut self.model, &operations);
        }
        self.next += 1;
    }

    /// A cleaning has that number, and its undo the next one.
    pub fn take(&mut self, cleaning: u64) {
        self.taken.extend([cleaning, cleaning + 1]);
    }

    /// Everything up to that number is stored.
    ///
    /// # Panics
    /// When the stream is past it: a stored transaction is gone.
    pub fn run_to(&mut self, number: u64) {
        assert!(number + 1 >= self.next, "transaction {} was stored and {number} is the last now", self.next - 1);
        while self.next <= number {
            self.advance();
        }
    }
}

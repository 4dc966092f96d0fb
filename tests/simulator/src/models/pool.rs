//! Values kept once and named by small numbers, so that a state is a few bytes to copy, compare and hash; and what follows from
//! such numbers, worked out once.
//!
//! Numbers are given in the order of first sight, which threads may change from run to run; within a run one value has one
//! number, and that is all a model needs.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, RwLock};

/// The number of a value in its pool.
pub type Number = u16;

/// Values of one type.
#[derive(Debug)]
pub struct Pool<T>(RwLock<Kept<T>>);

#[derive(Debug)]
struct Kept<T> {
    numbers: HashMap<Arc<T>, Number>,
    values: Vec<Arc<T>>,
}

impl<T: Eq + Hash> Pool<T> {
    /// A pool whose number zero is `first`.
    pub fn new(first: T) -> Self {
        let pool = Self(RwLock::new(Kept { numbers: HashMap::new(), values: Vec::new() }));
        pool.put(first);
        pool
    }

    /// The number of a value.
    ///
    /// # Panics
    /// If there are more values than numbers: the model is too large for its pool.
    pub fn put(&self, value: T) -> Number {
        let known = self.0.read().expect("no thread panics here").numbers.get(&value).copied();
        if let Some(number) = known {
            return number;
        }
        let mut kept = self.0.write().expect("no thread panics here");
        if let Some(number) = kept.numbers.get(&value) {
            return *number;
        }
        let number = Number::try_from(kept.values.len()).expect("a model has few distinct values");
        let value = Arc::new(value);
        kept.values.push(value.clone());
        kept.numbers.insert(value, number);
        number
    }

    /// The value of a number of this pool.
    pub fn get(&self, number: Number) -> Arc<T> {
        self.0.read().expect("no thread panics here").values[usize::from(number)].clone()
    }
}

/// What production code makes of values of a pool, worked out once: a model asks the same a million times.
#[derive(Debug)]
pub struct Memo<K, V>(RwLock<HashMap<K, V>>);

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, V: Copy> Memo<K, V> {
    /// What follows from these numbers, which is always the same.
    pub fn of(&self, key: K, work: impl FnOnce() -> V) -> V {
        let known = self.0.read().expect("no thread panics here").get(&key).copied();
        known.unwrap_or_else(|| {
            let found = work();
            self.0.write().expect("no thread panics here").insert(key, found);
            found
        })
    }
}

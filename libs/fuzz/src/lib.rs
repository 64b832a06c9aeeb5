//! Mutations of seeds, for a while, with a number that makes a run repeatable. For tests alone.
//!
//! A target runs for a second, or for as long as `FUZZ_SECONDS` says, from the number in `FUZZ_SEED`. What fails is written to the
//! system's temporary folder and named. An input that takes longer than [`SLOW`] fails, too.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Longest time for one input; a hundred times what the slowest takes on a slow machine.
pub const SLOW: Duration = Duration::from_secs(20);
/// Longest input.
const MAX_BYTES: usize = 16 * 1024;
/// Inputs that did not fail and are mutated further, beside the seeds.
const MAX_KEPT: usize = 256;

/// Where a target gets its bytes from.
#[derive(Debug)]
pub struct Fuzz {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
    random: Random,
    kept: Vec<Vec<u8>>,
}

/// A small generator of numbers (splitmix64): what it gives depends on its seed alone.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where there is none.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

impl Fuzz {
    /// A target with its seeds, and the words that its language knows.
    #[must_use]
    pub fn new(name: &'static str, seeds: Vec<Vec<u8>>, words: &'static [&'static str]) -> Self {
        assert!(!seeds.is_empty(), "{name} has no seeds");
        let seed = setting("FUZZ_SEED").unwrap_or(1);
        Self { name, seeds, words, random: Random(seed), kept: Vec::new() }
    }

    /// Calls `target` with the seeds, then with mutations of them until the time is up.
    ///
    /// # Panics
    ///
    /// If the target panics, or takes too long.
    pub fn run(mut self, target: impl Fn(&[u8])) {
        for seed in self.seeds.clone() {
            self.try_one(&target, &seed);
        }
        let end = Instant::now() + Duration::from_secs(setting("FUZZ_SECONDS").unwrap_or(1));
        let mut inputs = self.seeds.len();
        while Instant::now() < end {
            let input = self.mutation();
            self.try_one(&target, &input);
            inputs += 1;
            let place = self.random.below(MAX_KEPT);
            match self.kept.get_mut(place) {
                Some(kept) => *kept = input,
                None => self.kept.push(input),
            }
        }
        eprintln!("{}: {inputs} inputs", self.name);
    }

    fn try_one(&self, target: &impl Fn(&[u8]), input: &[u8]) {
        let start = Instant::now();
        let panicked = catch_unwind(AssertUnwindSafe(|| target(input))).is_err();
        if panicked || start.elapsed() > SLOW {
            let path = std::env::temp_dir().join(format!("fuzz-{}", self.name));
            std::fs::write(&path, input).expect("because the folder is there");
            let what = if panicked { "fails" } else { "takes too long" };
            panic!("{} {what} on {}: {:.400}", self.name, path.display(), String::from_utf8_lossy(input));
        }
    }

    fn mutation(&mut self) -> Vec<u8> {
        let among = self.random.below(self.seeds.len() + self.kept.len());
        let mut input = self
            .seeds
            .get(among)
            .or_else(|| self.kept.get(among - self.seeds.len()))
            .cloned()
            .unwrap_or_default();
        for _ in 0..=self.random.below(6) {
            self.mutate(&mut input);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.random.below(input.len());
        let length = 1 + self.random.below(32);
        let end = (at + length).min(input.len());
        match self.random.below(8) {
            0 | 1 if !input.is_empty() => input[at] = self.random.next() as u8,
            2 => input.insert(at, self.random.next() as u8),
            3 => drop(input.drain(at..end)),
            4 => {
                let piece = input[at..end].repeat(1 + self.random.below(40));
                input.splice(at..at, piece);
            }
            5 => input.truncate(at),
            6 => {
                let other = &self.seeds[self.random.below(self.seeds.len())];
                let from = self.random.below(other.len());
                let piece = other[from..].to_owned();
                input.splice(at..at, piece);
            }
            _ => {
                let word = self.words.get(self.random.below(self.words.len())).copied().unwrap_or_default();
                input.splice(at..end, word.bytes());
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the length of a run is not a setting of a service")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

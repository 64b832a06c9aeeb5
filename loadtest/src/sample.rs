//! Samples of one quantity, and what is said about them.

use std::time::Duration;

/// Values of one quantity, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// Adds a time, in milliseconds.
    pub(crate) fn add_time(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e3);
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that `percent` of the values do not exceed, by nearest rank. NaN without values.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    /// The middle value; of an even number, the lower one of the two.
    pub(crate) fn median(&self) -> f64 {
        self.percentile(50.0)
    }

    /// The largest value. NaN without values.
    pub(crate) fn max(&self) -> f64 {
        self.percentile(100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut sample = Sample::default();
        for value in (1..=200).rev() {
            sample.add(f64::from(value));
        }
        for (percent, value) in [(0.0, 1.0), (50.0, 100.0), (95.0, 190.0), (99.0, 198.0), (100.0, 200.0)] {
            assert_eq!(sample.percentile(percent), value, "{percent} %");
        }
        assert!(Sample::default().median().is_nan());
        assert_eq!((sample.median(), sample.max(), sample.len()), (100.0, 200.0, 200));
    }
}

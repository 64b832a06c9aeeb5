//! Who gets the next free slot: smooth weighted round robin over the priorities.
//!
//! Promises: over any window of `sum(weights)` slots each source is offered exactly its weight, so none starves,
//! however few slots one call has.

/// Splits free slots between sources by weight, remembering across calls what each is owed.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    weights: Vec<i64>,
    credit: Vec<i64>,
}

impl Shares {
    pub(crate) fn new(weights: &[u32]) -> Self {
        Self { weights: weights.iter().map(|w| i64::from(*w)).collect(), credit: vec![0; weights.len()] }
    }

    /// How many of `slots` each source is offered first; the sum is `slots`.
    pub(crate) fn split(&mut self, slots: usize) -> Vec<usize> {
        let total: i64 = self.weights.iter().sum();
        let rounds = slots / usize::try_from(total).unwrap_or(usize::MAX);
        // A whole round gives each its weight and leaves the credits as they are.
        let mut offer: Vec<usize> =
            self.weights.iter().map(|w| usize::try_from(*w).unwrap_or(0) * rounds).collect();
        for _ in offer.iter().sum::<usize>()..slots {
            for (credit, weight) in self.credit.iter_mut().zip(&self.weights) {
                *credit += weight;
            }
            // The first of equals, so that the higher priority goes first.
            let mut next = 0;
            for source in 1..self.credit.len() {
                if self.credit[source] > self.credit[next] {
                    next = source;
                }
            }
            self.credit[next] -= total;
            offer[next] += 1;
        }
        offer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_split_by_weight() {
        for (slots, offer) in [(10, [6, 3, 1]), (20, [12, 6, 2]), (1, [1, 0, 0]), (0, [0, 0, 0])] {
            assert_eq!(Shares::new(&[6, 3, 1]).split(slots), offer, "{slots}");
        }
    }

    #[test]
    fn one_slot_at_a_time_comes_to_the_same_and_starves_none() {
        for step in [1, 2, 3, 7] {
            let mut shares = Shares::new(&[6, 3, 1]);
            let mut sum = [0; 3];
            for _ in 0..10 {
                for (total, offer) in sum.iter_mut().zip(shares.split(step)) {
                    *total += offer;
                }
            }
            assert_eq!(sum, [6 * step, 3 * step, step], "{step}");
        }
    }

    #[test]
    fn one_source_gets_everything() {
        assert_eq!(Shares::new(&[1]).split(7), [7]);
    }
}

//! How the places of a lane are shared between tenants. No I/O.
//!
//! Promises: a free place goes to the tenant that has the fewest pages out, in the order of turns where they have as many; a
//! tenant alone leaves some places free, so that the first pages of another find one at once.
//!
//! Deficit round robin (Shreedhar and Varghese, 1995) where every page costs one, with the pages that are out carried over
//! as debt: a tenant whose pages take long does not get more of them at a time than another.

/// The places of a lane: pages that are out at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    depth: usize,
    /// Those for tenants with few pages out.
    reserved: usize,
}

impl Places {
    /// `share` of all places is reserved.
    pub(crate) fn new(depth: usize, share: f64) -> Self {
        let reserved = (0..depth).take_while(|n| to_f64(n + 1) <= to_f64(depth) * share).count();
        Self { depth, reserved }
    }

    /// So many pages of a tenant may use the reserved places, and go before the pages of others in the queue.
    pub(crate) fn few(self) -> usize {
        (self.reserved / 4).max(1)
    }

    /// Shares the free places while `out` are taken. `tenants` are the pages that each waiting tenant has out, in the order
    /// of turns; the answer has as many numbers.
    pub(crate) fn shares(self, out: usize, tenants: &[usize]) -> Vec<usize> {
        let mut open = (self.depth - self.reserved).saturating_sub(out);
        let mut reserved = self.depth.saturating_sub(out) - open;
        let mut shares = vec![0; tenants.len()];
        loop {
            let least = (0..tenants.len()).min_by_key(|&n| tenants[n] + shares[n]);
            let Some(least) = least else { return shares };
            if open > 0 {
                open -= 1;
            } else if reserved > 0 && tenants[least] + shares[least] < self.few() {
                reserved -= 1;
            } else {
                return shares;
            }
            shares[least] += 1;
        }
    }
}

/// Lists in turns: the first of each, then the second of each; at most `most` in all.
pub(crate) fn in_turns<T>(lists: Vec<Vec<T>>, most: usize) -> Vec<T> {
    let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    let mut mixed = Vec::new();
    while !lists.is_empty() && mixed.len() < most {
        lists.retain_mut(|list| {
            let next = if mixed.len() < most { list.next() } else { None };
            let more = next.is_some();
            mixed.extend(next);
            more
        });
    }
    mixed
}

fn to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_go_to_those_who_have_the_fewest() {
        let places = Places::new(64, 0.125);
        assert_eq!((places.reserved, places.few()), (8, 2));
        for (out, tenants, shares) in [
            (0, vec![0], vec![56]),
            (56, vec![56], vec![0]),
            (56, vec![56, 0], vec![0, 2]),
            (56, vec![56, 0, 1], vec![0, 2, 1]),
            (50, vec![50, 0], vec![0, 6]),
            (0, vec![0, 0, 0], vec![19, 19, 18]),
            (20, vec![10, 10], vec![18, 18]),
            (64, vec![0], vec![0]),
            (99, vec![0], vec![0]),
            (0, vec![], vec![]),
        ] {
            assert_eq!(places.shares(out, &tenants), shares, "{out} {tenants:?}");
        }
        assert_eq!(Places::new(1, 0.125).shares(0, &[0]), [1], "a small queue has nothing to reserve");
    }

    #[test]
    fn lists_take_turns() {
        let lists = vec![vec![1, 4, 6], vec![2], vec![3, 5]];
        assert_eq!(in_turns(lists.clone(), 10), [1, 2, 3, 4, 5, 6]);
        assert_eq!(in_turns(lists, 4), [1, 2, 3, 4]);
        assert!(in_turns(Vec::<Vec<u8>>::new(), 4).is_empty());
    }

    proptest! {
        #[test]
        fn shares_are_fair_and_leave_room(
            depth in 1..300usize,
            share in 0.0..0.5f64,
            tenants in prop::collection::vec(0..200usize, 1..20),
            others in 0..100usize,
        ) {
            let places = Places::new(depth, share);
            let out = tenants.iter().sum::<usize>() + others;
            let shares = places.shares(out, &tenants);
            let given: usize = shares.iter().sum();
            prop_assert!(given <= depth.saturating_sub(out));
            // Whoever got one has no more than any other, but for the last place.
            let levels: Vec<usize> = tenants.iter().zip(&shares).map(|(out, share)| out + share).collect();
            let least = *levels.iter().min().unwrap();
            for (level, share) in levels.iter().zip(&shares) {
                prop_assert!(*share == 0 || *level <= least + 1, "{levels:?} {shares:?}");
            }
            // However many pages one has out within its limit, the first of another finds a place.
            let alone = places.shares(0, &[0])[0];
            prop_assert_eq!(alone, depth - places.reserved);
            if places.reserved > 0 {
                prop_assert!(places.shares(alone, &[alone, 0])[1] >= 1);
            }
        }
    }
}

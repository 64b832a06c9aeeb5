//! Which newly found pages a job takes in, and at whose cost. Pure.
//!
//! Promises: never more pages than the budget; no page is refused while a worse one that could be displaced keeps its place; every
//! page gets one answer.

/// The place of a page in the order of its job, and its position in the ledger: lower is earlier.
pub(crate) type Place = (i64, i64);

/// What becomes of new pages and of those that wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// New pages that are fetched, by their number.
    pub(crate) taken: Vec<usize>,
    /// New pages that get the verdict `budget`.
    pub(crate) refused: Vec<usize>,
    /// New pages that are only counted.
    pub(crate) counted: usize,
    /// Waiting pages that lose their place and get the verdict `budget`, by their number.
    pub(crate) displaced: Vec<usize>,
}

/// Decides over new pages, by place. `room` is what is left of the budget, `waiting` the pages that can still be displaced, the
/// worst first, and `lines` how many more pages may have the verdict `budget`.
pub(crate) fn plan(new: &[Place], room: usize, waiting: &[Place], lines: usize) -> Plan {
    let mut order: Vec<usize> = (0..new.len()).collect();
    order.sort_by_key(|number| new[*number]);
    let (mut plan, mut lines) = (Plan::default(), lines);
    let mut worst = waiting.iter().enumerate();
    for (count, number) in order.into_iter().enumerate() {
        if count < room {
            plan.taken.push(number);
            continue;
        }
        let next = worst.clone().next().filter(|(_, place)| lines > 0 && **place > new[number]);
        if let Some((other, _)) = next {
            worst.next();
            lines -= 1;
            plan.displaced.push(other);
            plan.taken.push(number);
        } else if lines > 0 {
            lines -= 1;
            plan.refused.push(number);
        } else {
            plan.counted += 1;
        }
    }
    // Rows are written in the order in which they were found.
    plan.taken.sort_unstable();
    plan.refused.sort_unstable();
    plan
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn better_pages_take_the_places_of_worse_ones() {
        // Depth first: two new pages of depth 2 (rank -2), one place left, pages of depth 1 wait.
        let new = [(-2, 10), (-2, 11), (0, 12)];
        let plan = plan(&new, 1, &[(-1, 9), (-1, 8)], 10);
        let expected = Plan { taken: vec![0, 1], refused: vec![2], counted: 0, displaced: vec![0] };
        assert_eq!(plan, expected);
    }

    #[test]
    fn breadth_first_displaces_nothing() {
        let plan = plan(&[(2, 5), (2, 6), (2, 7)], 1, &[(1, 4), (1, 3)], 1);
        assert_eq!(plan, Plan { taken: vec![0], refused: vec![1], counted: 1, displaced: vec![] });
    }

    proptest! {
        #[test]
        fn the_budget_holds_and_nobody_is_lost(
            ranks in prop::collection::vec(-5_i64..5, 0..40),
            mut waiting in prop::collection::vec((-5_i64..5, 0_i64..100), 0..40),
            room in 0_usize..20,
            lines in 0_usize..20,
        ) {
            let new: Vec<Place> = ranks.into_iter().zip(1000..).collect();
            waiting.sort_unstable();
            waiting.dedup();
            waiting.reverse();
            let plan = plan(&new, room, &waiting, lines);
            prop_assert!(plan.taken.len() <= room + plan.displaced.len());
            prop_assert_eq!(plan.taken.len() + plan.refused.len() + plan.counted, new.len());
            prop_assert!(plan.refused.len() + plan.displaced.len() <= lines);
            prop_assert!(plan.counted == 0 || plan.refused.len() + plan.displaced.len() == lines);
            if plan.taken.len() < new.len() {
                prop_assert_eq!(plan.taken.len(), room + plan.displaced.len());
            }
            // While there are lines, no refused page is better than one that keeps its place.
            let kept = waiting.iter().skip(plan.displaced.len()).max();
            if let (Some(kept), true) = (kept, plan.refused.len() + plan.displaced.len() < lines) {
                prop_assert!(plan.refused.iter().all(|number| new[*number] > *kept));
            }
        }
    }
}

//! SimHash (Charikar 2002): one number for a text, such that nearly the same texts have nearly the same bits.

/// Words of one feature.
const SHINGLE: usize = 3;
/// Words below which the number says nothing.
const LEAST: usize = 50;

/// The SimHash of a text over its runs of three words. None if the text is too short to tell.
#[must_use]
pub fn simhash(text: &str) -> Option<u64> {
    let mut sums = [0_i64; 64];
    let mut window = [0_u64; SHINGLE];
    let mut words = 0;
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        window.rotate_left(1);
        window[SHINGLE - 1] = hash(word.chars().flat_map(char::to_lowercase));
        words += 1;
        if words < SHINGLE {
            continue;
        }
        let feature = window.iter().fold(0_u64, |all, word| mix(all.rotate_left(21) ^ word));
        for (bit, sum) in sums.iter_mut().enumerate() {
            *sum += if feature >> bit & 1 == 1 { 1 } else { -1 };
        }
    }
    if words < LEAST {
        return None;
    }
    Some(sums.iter().enumerate().filter(|(_, sum)| **sum > 0).fold(0, |all, (bit, _)| all | 1 << bit))
}

/// FNV-1a.
fn hash(word: impl Iterator<Item = char>) -> u64 {
    word.fold(0xcbf2_9ce4_8422_2325, |hash, c| {
        (hash ^ u64::from(u32::from(c))).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The finaliser of SplitMix64, so that each bit depends on all.
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seed: u32) -> String {
        (0..400_u32)
            .map(|n| format!("word{} ", n.wrapping_mul(2_654_435_761).wrapping_add(seed) % 997))
            .collect()
    }

    #[test]
    fn near_texts_have_near_hashes_and_others_do_not() {
        let (first, other) = (text(1), text(500));
        let near = format!("{first} updated 2026");
        let bits = |a: &str, b: &str| (simhash(a).unwrap() ^ simhash(b).unwrap()).count_ones();
        assert_eq!(bits(&first, &first.to_uppercase()), 0);
        assert!(bits(&first, &near) <= 3, "{}", bits(&first, &near));
        assert!(bits(&first, &other) > 10, "{}", bits(&first, &other));
        assert_eq!(simhash("a few words only"), None);
    }
}
